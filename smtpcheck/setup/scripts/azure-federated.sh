# add_federated QUERY PARAMETERS SUBJECT: the query that finds it, its JSON, and its subject as in JSON. In both the
# tenant's id takes the place of TENANT_ID.
add_federated() {
  local application there made
  application=$(az ad app list --app-id "$client_id" --query '[0].id' -o tsv)
  if [[ ! $application ]]; then
    echo 'WARNING: The application is registered in another tenant; add the credential there.' >&2
    return
  fi
  there=$(az ad app federated-credential list --id "$client_id" --query "${1//TENANT_ID/$tenant_id}" -o tsv)
  if [[ $there ]]; then
    step "The federated credential for $3 is registered"
    return
  fi
  step "Adding a federated credential for $3"
  save federated_credential before object_id "$application"
  made=$(until_replicated az ad app federated-credential create --id "$client_id" \
    --parameters "${2//TENANT_ID/$tenant_id}" --query id -o tsv)
  save federated_credential 'done' object_id "$application" subject "$3" credential_id "$made"
}
