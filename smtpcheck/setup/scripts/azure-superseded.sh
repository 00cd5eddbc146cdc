# remove_superseded API NAME: with the consent in its token, Exchange asks for FullAccess again, whatever RBAC grants.
remove_superseded() {
  find_role "$1" "$2"
  local assignment
  assignment=$(consent_of)
  [[ $assignment ]] || return 0
  if [[ ! $replace ]]; then
    echo "WARNING: The application has consent to $2, which reaches beyond the group or brings back the check of the mailbox" >&2
    echo 'permission. Once nothing else needs it, run the script with --replace to remove it.' >&2
    return
  fi
  step "Removing the consent to $2"
  save consent_removed before principal_id "$object_id" api_id "$api_object" role_id "$role" name "$2"
  az rest --method DELETE --url "$graph/v1.0/servicePrincipals/$object_id/appRoleAssignments/$assignment"
}
