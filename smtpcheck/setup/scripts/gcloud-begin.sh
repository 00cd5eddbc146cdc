set -euo pipefail

check=
record=smtpcheck-setup-$(date -u +%Y%m%d-%H%M%S).jsonl
for argument in "$@"; do
  case $argument in
  --check) check=yes ;;
  --record=*) record=${argument#--record=} ;;
  *)
    echo "usage: $0 [--check] [--record=FILE]" >&2
    exit 64
    ;;
  esac
done

step() { printf '==> %s\n' "$*"; }

stop() {
  printf 'Nothing was changed.\n%s\n' "$*" >&2
  exit 1
}

# One line of JSON: what is about to change. Its arguments are names and values that need no escaping.
save() {
  local line
  line=$(printf '{"change":"%s","state":"before","at":"%s"' "$1" "$(date -u +%Y-%m-%dT%H:%M:%SZ)")
  shift
  while (($#)); do
    line+=$(printf ',"%s":"%s"' "$1" "$2")
    shift 2
  done
  printf '%s}\n' "$line" >>"$record"
}
