# SPDX-License-Identifier: MIT
#
# Completion for fish of the daemon that this file is named for: timerd.fish, timerqd.fish. The options come
# from --help, so that they are those of the installed version.

set -l daemon (string replace -r '\.fish$' '' -- (status basename))

function __timerd_options
    set -l words (commandline -opc)
    $words[1] --help 2>/dev/null \
        | string replace -rf -- '^ +(?:-\w, )?(--[a-z-]+)(?: \S+)? +(.*)$' '$1\t$2'
end

complete -c $daemon -f -a '(__timerd_options)'
for option in config socket state timerd
    complete -c $daemon -l $option -rF
end
complete -c $daemon -l log-level -x -a 'emerg alert crit err warning notice info debug'
