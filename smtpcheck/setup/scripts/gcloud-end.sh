# ---------------------------------------------------------------------------------------------------------------------
# Domain-wide delegation: a super administrator grants it on a page, for there is no API

cat <<END

As a super administrator of the Workspace open
    https://admin.google.com/ac/owl/domainwidedelegation?clientScopeToAdd=$scopes&clientIdToAdd=$unique_id&overwriteClientId=true
(Security > Access and data control > API controls > Domain-wide delegation). It lets the service account act for every
mailbox of the Workspace within these scopes, and replaces the scopes that the client $unique_id has now. Where several
administrators have to approve, it waits for them.

It takes minutes to 24 hours. Prove it:
END
printf '    smtpcheck doctor %s\n' "${checks[@]}"
printf '\nWhat was changed is in %s. To take it back, after removing the delegation:\n    smtpcheck setup --undo %s\n' \
  "$record" "$record"
