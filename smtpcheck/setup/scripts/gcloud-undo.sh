set -euo pipefail

apply=
case ${1-} in
'') ;;
--apply) apply=yes ;;
*)
  echo "usage: $0 [--apply]" >&2
  exit 64
  ;;
esac

# change QUESTION TEXT COMMAND...: with --apply, and after a question where more than a right is removed.
change() {
  local asks=$1 text=$2 answer
  shift 2
  if [[ ! $apply ]]; then
    printf '    would: %s\n' "$text"
    return
  fi
  if [[ $asks ]]; then
    read -r -p "$text? Type yes: " answer
    if [[ $answer != yes ]]; then
      printf '    left: %s\n' "$text"
      return
    fi
  fi
  printf '==> %s\n' "$text"
  "$@" || printf '    not done: %s\n' "$text" >&2
}

remove_key() {
  change '' "delete key $3 of $2" gcloud iam service-accounts keys delete "$3" --iam-account "$2" --project "$1" --quiet
}

remove_binding() {
  change '' "withdraw $3 on $2 from $4" \
    gcloud iam service-accounts remove-iam-policy-binding "$2" --project "$1" --role "$3" --member "$4" --quiet
}

remove_pool() {
  change yes "delete the workload identity pool $2" \
    gcloud iam workload-identity-pools delete "$2" --project "$1" --location global --quiet
}

remove_account() {
  change yes "delete the service account $2" gcloud iam service-accounts delete "$2" --project "$1" --quiet
}

echo 'First, as a super administrator, remove the delegation: https://admin.google.com/ac/owl/domainwidedelegation'
