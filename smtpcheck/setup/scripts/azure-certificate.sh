# add_certificate PEM THUMBPRINT: one more; with --append those that are there stay.
add_certificate() {
  local application there file
  application=$(az ad app list --app-id "$client_id" --query '[0].id' -o tsv)
  if [[ ! $application ]]; then
    echo 'WARNING: The application is registered in another tenant; add the certificate there.' >&2
    return
  fi
  there=$(az ad app credential list --id "$client_id" --cert --query '[].customKeyIdentifier' -o tsv)
  if grep -Fixq -- "$2" <<<"$there"; then
    step "The certificate $2 is registered"
    return
  fi
  step "Adding the certificate $2"
  save certificate before object_id "$application" thumbprint "$2"
  file=$(mktemp)
  printf '%s\n' "$1" >"$file"
  until_replicated az ad app credential reset --id "$client_id" --cert "@$file" --append --only-show-errors >/dev/null
  rm -f "$file"
}
