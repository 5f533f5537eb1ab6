# bash completion for hypno; made by `hypno doc` from the table of commands
_hypno() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} options=
    COMPREPLY=()
    if [ "$COMP_CWORD" = 1 ]; then
        COMPREPLY=($(compgen -W "check show train eval dream data explain reduce tune doctor version help" -- "$cur"))
        return
    fi
    case "$prev" in
    --backend) COMPREPLY=($(compgen -W "llvm interp interp64" -- "$cur")); return ;;
    --summary) COMPREPLY=($(compgen -W "text json" -- "$cur")); return ;;
    --stage) COMPREPLY=($(compgen -W "model phases graph fused loop plan" -- "$cur")); return ;;
    esac
    case "${COMP_WORDS[1]}" in
    check) options="--data --set --condition --backend --code --memory --no-fuse --no-remat --help" ;;
    show) options="--data --set --condition --backend --memory --stage --phase --dump-after --stop-after --no-fuse --no-remat --output --help" ;;
    train) options="--data --set --condition --seed --threads --epochs --cycles --out --init --resume --backend --memory --quiet --summary --no-fuse --no-remat --help" ;;
    eval) options="--data --threads --backend --memory --quiet --summary --probe --help" ;;
    dream) options="--data --seed --threads --backend --memory --quiet --node --count --output --help" ;;
    data) options="--data --output --split --file --help" ;;
    explain) options="--data --set --condition --backend --memory --phase --all --json --no-fuse --no-remat --help" ;;
    reduce) options="--data --limit --help" ;;
    tune) options="--data --set --condition --seed --threads --memory --quiet --summary --limit --forget --help" ;;
    doctor) options="--data --clear-cache --help" ;;
    version) options="--help" ;;
    help) options="--help" ;;
    esac
    case "$cur" in
    -*) COMPREPLY=($(compgen -W "$options" -- "$cur")) ;;
    *) COMPREPLY=($(compgen -f -- "$cur")) ;;
    esac
}
complete -o filenames -F _hypno hypno
