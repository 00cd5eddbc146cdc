
Write-Host ''
Write-Host 'Write into the configuration:'
foreach ($application in $Setup.Applications) {
    Write-Host "    credential $($application.Credential): client_id: $($Identities[$application.Credential].ClientId)"
}
Write-Host "    its checks: granted: $([DateTime]::UtcNow.ToString('yyyy-MM-ddTHH:mmZ'))"
Write-Host ''
Write-Host 'Exchange takes up to two hours to apply this everywhere, and answers 535 5.7.3 until then. Prove it:'
foreach ($check in $Setup.Checks) { Write-Host "    smtpcheck doctor $check" }
Write-Host ''
if (Test-Path -LiteralPath $RecordFile) {
    Write-Host "What was changed, and what it was before, is in $RecordFile. To take it back:"
    Write-Host "    smtpcheck setup --undo $RecordFile"
}
