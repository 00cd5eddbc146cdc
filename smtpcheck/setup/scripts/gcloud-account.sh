# ---------------------------------------------------------------------------------------------------------------------
# The service account

unique_id=$(find_account)
if [[ ! $unique_id && $is_named ]]; then
  stop "The project $project has no service account $account, which the configuration names."
fi
if [[ $check ]]; then
  echo 'Everything that can be checked before is right; nothing was changed.'
  exit
fi
save google_script project "$project"
if [[ ! $unique_id ]]; then
  step "Creating the service account $account"
  save google_service_account project "$project" account "$account"
  gcloud iam service-accounts create "$account_id" --project "$project" --display-name smtpcheck
  unique_id=$(find_account)
fi
