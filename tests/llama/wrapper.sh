#!/bin/sh
# Runs hbar with --engine llama where the command has that option, so that tests of the command run with this engine.
# HBAR_WRAPPED is the program.
case ${1-} in
generate | score | calibrate | validate | judge | serve)
    command=$1
    shift
    exec "$HBAR_WRAPPED" "$command" --engine llama "$@"
    ;;
esac
exec "$HBAR_WRAPPED" "$@"
