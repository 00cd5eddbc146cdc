# add_secret SOURCE: only where the application has none. It is shown once, here, and written to no file.
add_secret() {
  local application there made
  application=$(az ad app list --app-id "$client_id" --query '[0].id' -o tsv)
  [[ $application ]] || return 0
  there=$(az ad app credential list --id "$client_id" --query '[0].keyId' -o tsv)
  if [[ $there ]]; then
    step 'The application has a secret; it is kept'
    return
  fi
  step 'Creating a client secret'
  save secret before object_id "$application"
  mapfile -t made < <(until_replicated az rest --method POST --url "$graph/v1.0/applications/$application/addPassword" \
    --headers 'Content-Type=application/json' --body '{"passwordCredential":{"displayName":"smtpcheck"}}' \
    --query '[keyId, secretText, endDateTime]' -o tsv | tr '\t' '\n')
  save secret 'done' object_id "$application" key_id "${made[0]:?The secret was not created}"
  printf '    Put this value into %s, now: it is shown only this once.\n    %s\n' "$1" "${made[1]}"
  printf '    And into the configuration: client_secret_expires: %s\n' "${made[2]%%T*}"
}
