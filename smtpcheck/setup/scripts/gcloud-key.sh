# ---------------------------------------------------------------------------------------------------------------------
# Its key, in the file that the configuration names, readable by its owner alone

if [[ -e $key_file ]]; then
  step "$key_file exists and is kept"
else
  step "Creating a key in $key_file; copy it to the monitoring host, and leave no other copy"
  umask 077
  if ! gcloud iam service-accounts keys create "$key_file" --iam-account "$account"; then
    echo 'If the organisation forbids keys (iam.disableServiceAccountKeyCreation), use workload identity federation:' >&2
    echo 'smtpcheck setup with --federated-issuer and --federated-subject makes that script.' >&2
    exit 1
  fi
  key_id=$(sed -n 's/.*"private_key_id": *"\([0-9a-f]*\)".*/\1/p' "$key_file")
  save google_key project "$project" account "$account" key_id "$key_id"
fi
