# ---------------------------------------------------------------------------------------------------------------------
# Is this the right cloud, tenant and administrator?

command -v az >/dev/null || stop 'The Azure CLI is not installed: https://learn.microsoft.com/cli/azure/install-azure-cli'
[[ $(az cloud show --query name -o tsv) == "$cloud" ]] || stop "Choose the cloud first: az cloud set --name $cloud"
tenant_id=$(az account show --query tenantId -o tsv) || stop "Sign in: az login --tenant $tenant --allow-no-subscriptions"
domains=$(az rest --url "$graph/v1.0/organization?\$select=verifiedDomains" --query 'value[0].verifiedDomains[].name' -o tsv)
if [[ ${tenant_id,,} != "${tenant,,}" ]] && ! grep -Fixq -- "$tenant" <<<"$domains"; then
  stop "You are signed in to tenant $tenant_id, not to $tenant: az login --tenant $tenant --allow-no-subscriptions"
fi
roles=$(az rest --url "$graph/v1.0/me/transitiveMemberOf/microsoft.graph.directoryRole?\$select=displayName" \
  --query 'value[].displayName' -o tsv 2>/dev/null) || roles=unknown
if [[ $roles == unknown ]]; then
  echo 'Your roles in Entra cannot be read; the script goes on without that check.' >&2
elif ! grep -Exq "$wanted_roles" <<<"$roles"; then
  stop "You need one of these roles in Entra (activate it, where it is time-limited): ${wanted_roles//|/, }"
fi
