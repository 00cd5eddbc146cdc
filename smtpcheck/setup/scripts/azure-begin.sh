set -euo pipefail

replace=
check=
without_exchange=
record=smtpcheck-setup-$(date -u +%Y%m%d-%H%M%S).jsonl
for argument in "$@"; do
  case $argument in
  --check) check=yes ;;
  --replace) replace=yes ;;
  --without-exchange) without_exchange=yes ;;
  --record=*) record=${argument#--record=} ;;
  *)
    echo "usage: $0 [--check] [--replace] [--without-exchange] [--record=FILE]" >&2
    exit 64
    ;;
  esac
done
client_ids=()
object_ids=()

step() { printf '==> %s\n' "$*"; }

stop() {
  printf 'Nothing was changed.\n%s\n' "$*" >&2
  exit 1
}

# One line of JSON: what is about to change, or what was made. Its arguments are names and values that need no escaping.
save() {
  local line
  line=$(printf '{"change":"%s","state":"%s","at":"%s"' "$1" "$2" "$(date -u +%Y-%m-%dT%H:%M:%SZ)")
  shift 2
  while (($#)); do
    line+=$(printf ',"%s":"%s"' "$1" "$2")
    shift 2
  done
  printf '%s}\n' "$line" >>"$record"
}

# What Entra made seconds ago is not visible everywhere yet: try again for five minutes.
until_replicated() {
  local attempt errors
  errors=$(mktemp)
  for attempt in {1..20}; do
    if "$@" 2>"$errors"; then
      rm -f "$errors"
      return
    fi
    if ((attempt == 20)) || ! grep -Eqi 'ResourceNotFound|does not exist|NoBackingObject|not found' "$errors"; then
      cat "$errors" >&2
      rm -f "$errors"
      return 1
    fi
    echo "    not replicated yet; trying again in 15 s (attempt $attempt of 20)" >&2
    sleep 15
  done
}
