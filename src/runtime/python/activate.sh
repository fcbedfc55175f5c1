# Source this file from sh, bash, zsh or ksh: `. bin/activate`. Leave with `deactivate`.

deactivate () {
    if [ -n "${_OLD_VIRTUAL_PATH+set}" ]; then
        PATH=$_OLD_VIRTUAL_PATH
        export PATH
        unset _OLD_VIRTUAL_PATH
    fi
    if [ -n "${_OLD_VIRTUAL_PYTHONHOME+set}" ]; then
        PYTHONHOME=$_OLD_VIRTUAL_PYTHONHOME
        export PYTHONHOME
        unset _OLD_VIRTUAL_PYTHONHOME
    fi
    if [ -n "${_OLD_VIRTUAL_PS1+set}" ]; then
        PS1=$_OLD_VIRTUAL_PS1
        unset _OLD_VIRTUAL_PS1
    fi
    unset VIRTUAL_ENV VIRTUAL_ENV_PROMPT
    hash -r 2>/dev/null || true
    if [ "${1:-}" != keep ]; then
        unset -f deactivate
    fi
}
deactivate keep

# bash and zsh know which file they read. Other shells do not, they are told.
if [ -n "${BASH_VERSION:-}" ]; then
    VIRTUAL_ENV=${BASH_SOURCE:-}
elif [ -n "${ZSH_VERSION:-}" ]; then
    eval 'VIRTUAL_ENV=${(%):-%x}'
fi
if [ -n "${VIRTUAL_ENV:-}" ]; then
    VIRTUAL_ENV=$(CDPATH='' cd -- "$(dirname -- "$VIRTUAL_ENV")/.." >/dev/null && pwd -P)
else
    VIRTUAL_ENV='@ENV@'
fi
VIRTUAL_ENV_PROMPT=${VIRTUAL_ENV##*/}
VIRTUAL_ENV_PROMPT=${VIRTUAL_ENV_PROMPT%"${VIRTUAL_ENV_PROMPT#????????}"}
export VIRTUAL_ENV VIRTUAL_ENV_PROMPT

_OLD_VIRTUAL_PATH=${PATH:-}
PATH=$VIRTUAL_ENV/bin${PATH:+:$PATH}
export PATH

if [ -n "${PYTHONHOME+set}" ]; then
    _OLD_VIRTUAL_PYTHONHOME=$PYTHONHOME
    unset PYTHONHOME
fi
if [ -z "${VIRTUAL_ENV_DISABLE_PROMPT:-}" ] && [ -n "${PS1+set}" ]; then
    _OLD_VIRTUAL_PS1=$PS1
    PS1="($VIRTUAL_ENV_PROMPT) $PS1"
fi
hash -r 2>/dev/null || true
