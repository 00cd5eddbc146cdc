# ---------------------------------------------------------------------------------------------------------------------
# Entra: applications and their permissions

# find_application NAME CLIENT_ID OBJECT_ID: sets client_id and object_id (of the enterprise application), each empty where
# it does not exist. Another's application is never taken.
find_application() {
  client_id=$2
  object_id=$3
  if [[ $object_id ]]; then
    client_id=$(az ad sp show --id "$object_id" --query appId -o tsv) || stop "The tenant has no identity $object_id."
    return
  fi
  if [[ ! $client_id ]]; then
    client_id=$(az ad app list --display-name "$1" \
      --query "[?displayName=='$1' && contains(tags, 'smtpcheck-setup')].appId | [0]" -o tsv)
    local other
    other=$(az ad app list --display-name "$1" --query "[?displayName=='$1'].appId | [0]" -o tsv)
    if [[ ! $client_id && $other ]]; then
      stop "There is an application $1 already, which this script did not make. If it is the right one, write" \
        "client_id: $other into the configuration, and make the script again."
    fi
    [[ $client_id ]] || return 0
  fi
  object_id=$(az ad sp list --filter "appId eq '$client_id'" --query '[0].id' -o tsv)
  local application
  application=$(az ad app list --app-id "$client_id" --query '[0].id' -o tsv)
  if [[ ! $object_id && ! $application ]]; then
    stop "The tenant has no application $client_id."
  fi
}

# find_role API NAME: sets api_object and role. Ids of permissions are read from the tenant itself.
find_role() {
  api_object=$(az ad sp list --filter "appId eq '$1'" --query '[0].id' -o tsv)
  [[ $api_object ]] || stop "The tenant has no enterprise application $1. If that is Exchange's, it has no Exchange Online."
  role=$(az ad sp show --id "$1" \
    --query "appRoles[?value=='$2' && contains(allowedMemberTypes, 'Application')].id | [0]" -o tsv)
  [[ $role ]] || stop "The API $1 has no application permission $2 in this tenant."
}

# set_application NAME CLIENT_ID OBJECT_ID: creates what does not exist.
set_application() {
  find_application "$@"
  if [[ ! $client_id ]]; then
    step "Creating the application $1"
    save application before display_name "$1"
    local body made
    body='{"displayName":"'$1'","signInAudience":"AzureADMyOrg","tags":["smtpcheck-setup"]}'
    mapfile -t made < <(az rest --method POST --url "$graph/v1.0/applications" \
      --headers 'Content-Type=application/json' --body "$body" --query '[appId, id]' -o tsv | tr '\t' '\n')
    client_id=${made[0]:?The application was not created}
    save application 'done' client_id "$client_id" object_id "${made[1]}"
  fi
  if [[ ! $object_id ]]; then
    step "Creating the enterprise application of $1"
    save enterprise_application before client_id "$client_id"
    object_id=$(until_replicated az ad sp create --id "$client_id" --query id -o tsv)
    save enterprise_application 'done' client_id "$client_id" object_id "$object_id"
  fi
  client_ids+=("$client_id")
  object_ids+=("$object_id")
}

consent_of() {
  az rest --url "$graph/v1.0/servicePrincipals/$object_id/appRoleAssignments?\$top=999" \
    --query "value[?appRoleId=='$role' && resourceId=='$api_object'].id | [0]" -o tsv
}

# add_consent API NAME. The assignment is the consent; the application also lists it, or a later consent in the portal would
# remove it.
add_consent() {
  find_role "$1" "$2"
  local body assignment
  assignment=$(consent_of)
  if [[ $assignment ]]; then
    step "$2 is consented to"
  else
    step "Consenting to $2"
    save consent before principal_id "$object_id" name "$2"
    body='{"principalId":"'$object_id'","resourceId":"'$api_object'","appRoleId":"'$role'"}'
    assignment=$(until_replicated az rest --method POST \
      --url "$graph/v1.0/servicePrincipals/$object_id/appRoleAssignments" \
      --headers 'Content-Type=application/json' --body "$body" --query id -o tsv)
    save consent 'done' principal_id "$object_id" name "$2" assignment_id "$assignment"
  fi
  local application listed
  application=$(az ad app list --app-id "$client_id" --query '[0].id' -o tsv)
  [[ $application ]] || return 0
  listed=$(az ad app show --id "$client_id" \
    --query "requiredResourceAccess[?resourceAppId=='$1'].resourceAccess[] | [?id=='$role'].id | [0]" -o tsv)
  [[ ! $listed ]] || return 0
  save listed_permission before object_id "$application" api "$1" role_id "$role"
  az ad app permission add --id "$client_id" --api "$1" --api-permissions "$role=Role" --only-show-errors >/dev/null
}
