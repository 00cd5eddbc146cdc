printf '\nWrite into the configuration:\n'
for index in "${!credentials[@]}"; do
  printf '    credential %s: client_id: %s\n' "${credentials[index]}" "${client_ids[index]}"
done
if [[ -e $record ]]; then
  printf '\nWhat was changed, and what it was before, is in %s. To take it back:\n    smtpcheck setup --undo %s\n' \
    "$record" "$record"
fi
