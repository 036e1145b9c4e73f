# SPDX-License-Identifier: MIT
#
# Completion of toytimerctl for fish. Verbs and options come from `toytimerctl help`, so that they are those
# of the installed version. It asks timerd for the ids of timers, and timerqd for the names of queues.

# The verb on the command line, if there is one.
function __toytimerctl_verb
    set -l value no
    for word in (commandline -opc)[2..-1]
        if test $value = yes
            set value no
            continue
        end
        switch $word
            case --socket --queue-socket
                set value yes
            case '-*'
            case '*'
                echo $word
                return
        end
    end
end

# The options that say which instance to ask.
function __toytimerctl_where
    string match -r -- '^--(?:system|user|socket=.*|queue-socket=.*)$' (commandline -opc)
end

function __toytimerctl_candidates
    set -l verb (__toytimerctl_verb)
    toytimerctl help $verb 2>/dev/null \
        | string replace -rf -- '^ +(?:-\w )?(--[a-z-]+)(?:(?: [A-Z]+)? {2,}(.*)| .*|)$' '$1\t$2'
    switch "$verb"
        case '' help
            toytimerctl --help 2>/dev/null | string replace -rf -- '^  ([a-z]+)(?: .*[^:])?$' '$1'
        case cancel
            toytimerctl (__toytimerctl_where) list --no-legend -o id 2>/dev/null | string trim
        case consume
            toytimerctl (__toytimerctl_where) queues --no-legend 2>/dev/null | string match -r -- '^\S+'
    end
end

# COMMAND follows --.
function __toytimerctl_command
    contains -- -- (commandline -opc)
end

complete -c toytimerctl -f
complete -c toytimerctl -n 'not __toytimerctl_command' -a '(__toytimerctl_candidates)'
complete -c toytimerctl -n __toytimerctl_command -a '(__fish_complete_subcommand --fcs-skip=(contains -i -- -- (commandline -opc)))'
complete -c toytimerctl -n 'not __toytimerctl_command' -l socket -rF
complete -c toytimerctl -n 'not __toytimerctl_command' -l queue-socket -rF
complete -c toytimerctl -n 'string match -q register -- (__toytimerctl_verb)' -l payload-file -rF
complete -c toytimerctl -n 'string match -q register -- (__toytimerctl_verb)' -l clock -x -a 'monotonic boottime realtime'
