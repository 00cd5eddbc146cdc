# ---------------------------------------------------------------------------------------------------------------------
# Exchange Online, which the Azure CLI does not reach: by PowerShell, before anything is changed and after it

exchange() {
  local clients objects
  clients=$(IFS=,; printf '%s' "${client_ids[*]}")
  objects=$(IFS=,; printf '%s' "${object_ids[*]}")
  set -- -TenantId "$tenant_id" -ClientIds "$clients" -ObjectIds "$objects" ${replace:+-Replace} "$@"
  if [[ $without_exchange ]]; then
    printf 'Run it where PowerShell and the module ExchangeOnlineManagement are:\n    ./%s %s\n' "$exchange_script" "$*"
  else
    pwsh -NoProfile -File "$exchange_script" -RecordFile "$record" "$@"
  fi
}

if [[ ! $without_exchange ]] && ! command -v pwsh >/dev/null; then
  stop "PowerShell (pwsh) is not installed here. Install it with the module ExchangeOnlineManagement; or run the script with" \
    "--without-exchange, and the part for Exchange, $exchange_script, where they are."
fi
