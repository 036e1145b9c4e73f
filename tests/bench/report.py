# SPDX-License-Identifier: MIT
"""
Makes the report from the figures. ROWS lists all claims: each row has a figure of timerd, the figure that
it is compared with, and the ratio that it must reach.
"""

import statistics

import plots

RANDOM = 'life/random/1000000'
ORDERED = 'life/ordered/1000000'
ECHO = 'limits/machine/echo'
ECHO_FAST = 16  # M/s, of the machine that the absolute rates are meant for


class Row:
    """ours against each of beside: (name, path of a figure or None, least or most, number)."""

    def __init__(self, work, ours, *beside):
        self.work, self.ours, self.beside = work, ours, beside


def life_rows():
    for pattern, path, reach in (('random', RANDOM, 0.6), ('in order', ORDERED, 0.25)):
        yield Row(f'life in the core, 10⁶ held, dues {pattern}', f'{path}/timerd/fresh_life',
                  ('libevent', f'{path}/libevent/fresh_life', '<=', reach),
                  ('libuv', f'{path}/libuv/fresh_life', '<=', reach),
                  ('libev', f'{path}/libev/fresh_life', None, None),
                  ('sd-event', f'{path}/sd_event/fresh_life', '<=', 1))
        yield Row('the same, where as many have been before', f'{path}/timerd/aged_life',
                  *((who, f'{path}/{who}/aged_life', None, None)
                    for who in ('libevent', 'libuv', 'libev')))
    for n, name in ((100000, '10⁵'), (10000, '10⁴'), (1000, '10³')):
        reach = 0.8 if n == 100000 else None
        path = f'life/random/{n}'
        yield Row(f'the same, {name} held, dues random', f'{path}/timerd/fresh_life',
                  ('libevent', f'{path}/libevent/fresh_life', reach and '<=', reach),
                  ('libuv', f'{path}/libuv/fresh_life', reach and '<=', reach),
                  ('libev', f'{path}/libev/fresh_life', None, None),
                  ('sd-event', f'{path}/sd_event/fresh_life', '<=', 1))
    yield Row('its growth: 10⁶ beside 10⁴, dues random', f'{RANDOM}/timerd/fresh_life',
              ('timerd at 10⁴', 'life/random/10000/timerd/fresh_life', '<=', 4))


def registering_rows():
    for pattern, reach in (('random', 1.5), ('ordered', 5)):
        for clients in 1, 16:
            path = f'registering/{pattern}/{clients}/timerd'
            yield Row(f'registered, answered, 10⁶ held, {clients} client'
                      f'{"s" if clients > 1 else ""}, dues {pattern}', f'{path}/held',
                      (f'{reach} M/s where raw echoes 16 M/s', ECHO, 'rate', reach),
                      ('beanstalkd', 'queues/beanstalkd/held', '>=', 4),
                      ('Redis', 'queues/redis/held', '>=', 4),
                      ('systemd', 'systemd/fill', '>=', 1000))
            yield Row('the same, time for one', f'{path}/held_ns',
                      ('timerfd create + arm', 'limits/machine/timerfd', '<=', 1))


def durable_rows():
    def d(path):
        return f'durable/{path}'
    for pattern, name, sqlite, redis, beanstalkd in (
            ('ordered', 'in order', 0.6, 1.5, 40),
            ('random', 'random over a year, 10⁶ held', None, 1.2, 25),
            ('keyed', 'random, 10⁶ held, each with a key', None, 0.5, 10)):
        yield Row(f'stored, answered, 1,000 in a batch, dues {name}',
                  d(f'timerqd/{pattern}/rate'),
                  ('bare SQLite in order', d('sqlite/put/rate'), sqlite and '>=', sqlite),
                  ('Redis, always', d('redis/put/rate'), '>=', redis),
                  ('beanstalkd -f0', d('beanstalkd/put/rate'), '>=', beanstalkd))
    yield Row('stored one at a time, one client, median', d('timerqd/one_1/answer_p50'),
              ('a commit of bare SQLite', d('sqlite/one/commit_p50'), '<=', 1.5),
              ('fdatasync', d('sqlite/sync/sync_p50'), None, None))
    yield Row('the same, 64 clients', d('timerqd/one_64/rate'),
              ('one client', d('timerqd/one_1/rate'), '>=', 10))
    yield Row('all due at once: delivered, acknowledged', d('timerqd/drain/rate'),
              ('Redis, always', d('redis/drain/rate'), '>=', 0.6),
              ('beanstalkd -f0', d('beanstalkd/drain/rate'), '>=', 25))
    yield Row('lateness of a lone durable wake, median', d('late/alone/durable_p50'),
              ('a volatile one', d('late/alone/volatile_p50'), '<=', 2))
    yield Row('the same, p99, while 64 clients store', d('late/busy/durable_p99'),
              ('the median answer meanwhile', d('late/busy/answer_p50'), '<=', 3),
              ('a volatile one', d('late/busy/volatile_p99'), None, None))
    yield Row('memory of timerqd, 10⁷ stored', d('held/memory'), ('the goal', None, '<=', 100))
    yield Row('start of timerqd to READY, 10⁷ stored, stopped right after the last one',
              d('held/ready'), ('the goal', None, '<=', 500))
    yield Row('the same, stopped after its background work', d('held/merged/ready'),
              ('the goal', None, '<=', 500))
    yield Row('the same, after SIGKILL with a log of 64 MB', d('killed/ready'),
              ('the goal', None, '<=', 2000))
    for name, words in ('held', '10⁷ stored'), ('keyed', '10⁶ stored, each with a key'):
        yield Row(f'disk a timer beyond payload and key, {words}', d(f'{name}/disk'),
                  ('the goal', None, '<=', 150))


def fleet_rows():
    def f(path):
        return f'fleet/{path}/rate'
    yield Row('a fleet on PostgreSQL: stored, answered, 1,000 in a batch, one host', f('timerqd/put'),
              ('bare COPY', f('bare/copy'), '>=', 0.5),
              ('pg-boss insert', f('pgboss/put'), '>=', 3),
              ('graphile-worker add_jobs', f('graphile/put'), '>=', 3))
    yield Row('due: delivered, acknowledged, 3 hosts, 16 queues', f('timerqd/drain'),
              ('bare DELETE … RETURNING', f('bare/delete'), '>=', 0.4),
              ('pg-boss', f('pgboss/drain'), '>=', 3),
              ('graphile-worker', f('graphile/drain'), '>=', 3))
    yield Row('the same once 10⁷ rows went through, a reader holds the vacuum back', f('churned'),
              ('fresh', f('fresh'), '>=', 0.7))


ROWS = [
    *life_rows(),
    *registering_rows(),
    *durable_rows(),
    *fleet_rows(),
    Row('one registration at a time', 'roundtrip/timerd_p50',
        ('raw ping-pong', 'roundtrip/raw_p50', '<=', 1.15),
        ('raw ping-pong with epoll', 'roundtrip/raw_epoll_p50', None, None)),
    Row('lateness of a lone wake, median', 'lone/timerd_p50',
        ('own timerfd', 'lone/timerfd_p50', '<=', 1.1),
        ('raw relay', 'lone/raw_p50', None, None)),
    Row('lateness of a lone wake, p99', 'lone/timerd_p99',
        ('own timerfd', 'lone/timerfd_p99', '<=', 1.3),
        ('raw relay', 'lone/raw_p99', None, None)),
    Row('lateness, 1,000 clients each 100 ms, median', 'crowd/timerd/late_p50',
        ('a timerfd each', 'crowd/timerfd/late_p50', '<=', 1.2)),
    Row('10⁶ due at one instant, delivered', 'burst/timerd/delivered',
        ('the goal', None, '>=', 3),
        ('raw one way', 'limits/machine/one_way', None, None)),
    Row("another client's p99 lateness meanwhile", 'burst/timerd/other_p99',
        ('the goal', None, '<=', 5000)),
    Row('the same, when timerd sent them', 'burst/timerd/other_sent_p99',
        ('the goal', None, '<=', 5000)),
    Row('100,000 timers registered from Python in one call', 'python/register_many',
        ('the goal', None, '<=', 1)),
    Row('the same, one call each', 'python/register', ('the goal', None, '<=', 1)),
    Row('the same, a task each', 'python/tasks_timerd',
        ('asyncio.sleep()', 'python/tasks_asyncio', None, None)),
    Row("lateness of a lone wake in Python's event loop, median", 'python/wake_timerd_p50',
        ("asyncio's own call_at()", 'python/wake_call_later_p50', None, None),
        ('the same wake in C', 'python/c/timerd_p50', None, None)),
    Row('how much later than in C', 'python/wake_after_c', ('the goal', None, '<=', 100)),
    Row('wake-ups, 1,000 clients, 10 % slack', 'wakeups/wakeups',
        ('offline optimum', 'wakeups/optimum', '<=', 1.0),
        ('a timerfd each (one a wake)', 'wakeups/wakes', None, None)),
    Row('idle with 10³ far timers: voluntary switches', 'idle/1000/voluntary_ctxt_switches',
        ('the goal', None, '<=', 0)),
    Row('idle with 10⁶ far timers: switches', 'idle/1000000/voluntary_ctxt_switches',
        ('the goal', None, '<=', 0)),
    Row('idle with 10⁶ far timers: CPU', 'idle/1000000/cpu', ('the goal', None, '<=', 0)),
    Row('memory a timer, at 10⁶', 'memory/timerd/timer',
        ('the goal', None, '<=', 96),
        ('Redis', 'queues/redis/memory', '<=', 1),
        ('beanstalkd', 'queues/beanstalkd/memory', '<=', 1),
        ('timerfd (kernel)', 'limits/machine/timerfd_memory', '<=', 1),
        ('systemd', 'systemd/memory', '<=', 1)),
    Row("memory a timer in its client's process", 'memory/client/timer',
        ('the goal', None, '<=', 100)),
    Row('memory a connection', 'connections/timerd/connection', ('the goal', None, '<=', 1024)),
    Row('start to READY', 'start/ready',
        ('the goal', None, '<=', 5),
        ('start and end of /bin/true', 'start/nothing', None, None)),
]


def number(value):
    if value == 0:
        return '0'
    if abs(value) < 0.1:
        return f'{value:.2g}'
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    return f'{value:,.{digits}f}'


def spread(values, unit=''):
    """Median, and in brackets the least and the most."""
    text = number(statistics.median(values))
    if len(set(values)) > 1:
        text += f' ({number(min(values))} – {number(max(values))})'
    return f'{text} {unit}'.rstrip()


def why_missing(data, path):
    """The reason that was noted for a path, or for what it is part of."""
    parts = path.split('/')
    for end in range(len(parts), 0, -1):
        reason = data['missing'].get('/'.join(parts[:end]))
        if reason:
            return reason
    return 'not among the subjects of this run'


def ratios(data, ours, theirs):
    """Round by round, as they were taken one after the other; by medians where one was taken once."""
    a, b = data['figures'][ours], data['figures'][theirs]
    if len(a) != len(b):
        a, b = [statistics.median(a)], [statistics.median(b)]
    return [x / y for x, y in zip(a, b) if y > 0]


def judge(values, how, reach):
    if how is None:
        return ''
    value = statistics.median(values)
    return 'met' if (value <= reach if how == '<=' else value >= reach) else '**missed**'


def lines_of(data, row):
    """A line of the first table for each that the row stands beside."""
    figures, units = data['figures'], data['units']
    if row.ours not in figures:
        reason = why_missing(data, row.ours)
        yield [row.work, f'not measured: {reason}', '', '', '', '']
        return
    mine = spread(figures[row.ours], units[row.ours])
    for name, path, how, reach in row.beside:
        wanted = '' if how is None else f'{how} {reach:g}'
        if path is None:
            yield [row.work, mine, name, '', f'{wanted} {units[row.ours]}',
                   judge(figures[row.ours], how, reach)]
        elif path not in figures:
            yield [row.work, mine, name, f'not measured: {why_missing(data, path)}', wanted, '']
        elif how == 'rate':
            scale = min(1, statistics.median(figures[path]) / ECHO_FAST)
            yield [row.work, mine, f'raw echo: {spread(figures[path], units[path])}',
                   spread(ratios(data, row.ours, path)), f'>= {number(reach * scale)} M/s',
                   judge(figures[row.ours], '>=', reach * scale)]
        else:
            values = ratios(data, row.ours, path)
            theirs = spread(figures[path], units[path])
            if not values:
                yield [row.work, mine, f'{name}: {theirs}', '', wanted, '']
                continue
            yield [row.work, mine, f'{name}: {theirs}', spread(values), wanted,
                   judge(values, how, reach)]


def table(head, lines):
    yield '| ' + ' | '.join(head) + ' |'
    yield '|' + '---|' * len(head)
    last = None
    for line in lines:
        same = line[:2] == last
        last = line[:2]
        yield '| ' + ' | '.join((['', ''] if same else line[:2]) + line[2:]) + ' |'


def machine_lines(data):
    m = data['machine']
    yield (f'{m["timerd"]}, {m["date"]}; {m["processors"]} × {m["processor"]}, '
           f'{m["memory_mb"]} MB; {m["system"]}, Linux {m["kernel"]}. '
           f'{m["rounds"]} rounds{", QUICK=1" if m["quick"] else ""}; load {m["load_before"]:.1f} '
           f'before and {m["load_after"]:.1f} after.')
    yield ''
    yield 'Peers: ' + ', '.join(f'{name} {v}' for name, v in m['peers'].items()) + '.'
    if m['load_before'] > 0.5 * m['processors']:
        yield ''
        yield ('**The machine was busy with something else.** Rates and latencies are not what it '
               'can do; only ratios mean something, and those of latencies not much.')


def write(data, output):
    """The report's text; draws its plots into the folder."""
    out = ['# timerd beside its peers', '', *machine_lines(data), '',
           'Medians over the rounds, and in brackets the least and the most. A ratio is timerd\'s '
           'figure by the one beside it, of the same round each.', '']
    lines = [line for row in ROWS for line in lines_of(data, row)]
    out += table(['work', 'timerd', 'beside', 'ratio', 'reach', ''], lines)
    out += ['', '## Plots', '', *plots.draw(data, output), '', '## All figures', '']
    out += table(['figure', 'value', 'rounds'],
                 [[f'`{path}`', spread(values, data['units'][path]), str(len(values))]
                  for path, values in sorted(data['figures'].items())])
    if data['missing']:
        out += ['', '## Not measured', '']
        out += [f'- `{path}`: {reason}' for path, reason in sorted(data['missing'].items())]
    return '\n'.join(out) + '\n'


def summary(data):
    verdicts = [line[5] for row in ROWS for line in lines_of(data, row)]
    return (f'{verdicts.count("met")} goals met, {verdicts.count("**missed**")} missed, '
            f'{len(data["missing"])} things not measured')
