# SPDX-License-Identifier: MIT
"""The plots, by gnuplot, as SVG."""

import math
import shutil
import statistics
import subprocess

WHO = [('timerd', 'timerd (its core)', '#c0392b'),
       ('timerd_alone', 'timerd, a packet each', '#e59866'), ('libev', 'libev', '#7f8c8d'),
       ('libevent', 'libevent', '#2980b9'), ('libuv', 'libuv', '#27ae60'),
       ('sd_event', 'sd-event', '#8e44ad')]
SIZES = [1000, 10000, 100000, 1000000]
HEAD = '''set terminal svg size 760,460 font "sans,12" background "white"
set output "{output}"
set grid ytics lc "#dddddd"
set border 3
set tics nomirror
set title "{title}"
'''


def median(data, path):
    values = data['figures'].get(path)
    return statistics.median(values) if values else None


def growth(data, pattern):
    """Nanoseconds a timer's life by how many are held; log n for scale, through timerd at 10^4."""
    blocks, curves = [], []
    for who, name, colour in WHO:
        points = [(n, median(data, f'life/{pattern}/{n}/{who}/fresh_life')) for n in SIZES]
        points = [(n, value) for n, value in points if value]
        if not points:
            continue
        blocks.append(f'${who} << EOD\n' + ''.join(f'{n} {v}\n' for n, v in points) + 'EOD\n')
        curves.append(f'${who} with linespoints lw 2 pt 7 ps 0.6 lc "{colour}" title "{name}"')
    base = median(data, f'life/{pattern}/10000/timerd/fresh_life')
    if not base:
        return None
    curves.append(f'{base / math.log(10000)} * log(x) with lines dt 2 lc "#c0392b" '
                  'title "n log n, a timer"')
    return (''.join(blocks) + 'set logscale xy\nset xlabel "timers held"\nset format x "10^{%L}"\n'
            'set ylabel "ns of CPU a timer"\nset key outside right center\nplot [800:1250000] ' +
            ', '.join(curves) + '\n')


def bars(data, label, rows, logarithmic):
    """A bar for each row: (name, path, colour)."""
    rows = [(name, median(data, path), colour) for name, path, colour in rows]
    rows = [row for row in rows if row[1]]
    if not rows:
        return None
    block = '$bars << EOD\n' + ''.join(
        f'"{name}" {value} {int(colour[1:], 16)} "{value:.3g}"\n' for name, value, colour in rows)
    return (block + 'EOD\n' + ('set logscale y\n' if logarithmic else 'set yrange [0:*]\n') +
            f'set bmargin 4\nset ylabel "{label}"\nset boxwidth 0.7\nset style fill solid\nunset key\n'
            'set xtics font ",10"\nset offsets 0.5, 0.5, 0, 0\n'
            'plot $bars using 0:2:3:xtic(1) with boxes lc rgb variable, '
            '$bars using 0:2:4 with labels offset 0,0.6 font ",10"\n')


OURS, THEIRS, LIMIT = '#c0392b', '#2980b9', '#7f8c8d'


def rates(data):
    m = 'registering/{}/{}/timerd/held'
    return bars(data, 'millions a second', [
        ('raw echo', 'limits/machine/echo', LIMIT),
        ('timerd\\nin order', m.format('ordered', 1), OURS),
        ('timerd\\nrandom', m.format('random', 1), OURS),
        ('timerd\\n16 clients', m.format('random', 16), OURS),
        ('beanstalkd', 'queues/beanstalkd/held', THEIRS),
        ('Redis', 'queues/redis/held', THEIRS),
        ('systemd', 'systemd/fill', THEIRS)], True)


def lateness(data):
    return bars(data, 'microseconds late, median', [
        ('own timerfd', 'lone/timerfd_p50', THEIRS),
        ('raw relay', 'lone/raw_p50', LIMIT),
        ('timerd', 'lone/timerd_p50', OURS),
        ('1,000 clients:\\na timerfd each', 'crowd/timerfd/late_p50', THEIRS),
        ('timerd', 'crowd/timerd/late_p50', OURS)], False)


def memory(data):
    return bars(data, 'bytes a timer', [
        ('timerd', 'memory/timerd/timer', OURS),
        ('Redis', 'queues/redis/memory', THEIRS),
        ('beanstalkd', 'queues/beanstalkd/memory', THEIRS),
        ('timerfd\\n(kernel)', 'limits/machine/timerfd_memory', THEIRS),
        ('systemd', 'systemd/memory', THEIRS)], True)


PLOTS = [
    ('life-random', 'A timer\'s life in one process, dues random', lambda d: growth(d, 'random')),
    ('life-ordered', 'A timer\'s life in one process, dues nearly in order',
     lambda d: growth(d, 'ordered')),
    ('rates', 'Registered and answered, a million held', rates),
    ('lateness', 'Lateness when the receiver runs', lateness),
    ('memory', 'Memory a timer, a million held', memory),
]


def draw(data, output):
    """Draws all plots for which there are figures. Return: the lines that show them."""
    if not shutil.which('gnuplot'):
        return ['not plotted: gnuplot is not installed']
    lines = []
    for name, title, make in PLOTS:
        body = make(data)
        file = output / f'{name}.svg'
        if body is None:
            lines.append(f'{title}: not plotted, as there are no figures for it')
            continue
        script = HEAD.format(output=file, title=title) + body
        result = subprocess.run(['gnuplot'], input=script, text=True, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, check=False)
        lines.append(f'![{title}]({file.name})' if result.returncode == 0 else
                     f'{title}: not plotted: {result.stdout.strip()}')
        lines.append('')
    return lines
