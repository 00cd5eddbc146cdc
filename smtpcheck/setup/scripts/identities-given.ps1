# ---------------------------------------------------------------------------------------------------------------------
# The applications, as they were found or made in Entra

$Identities = @{}
$clients = @($ClientIds -split ',')
$objects = @($ObjectIds -split ',')
if (-not $CheckOnly -and ($clients.Count -ne $Setup.Applications.Count -or $objects.Count -ne $clients.Count)) {
    Stop-Setup 'Give -ClientIds and -ObjectIds: one of each for every application, separated by commas.'
}
for ($index = 0; $index -lt [Math]::Min($clients.Count, $Setup.Applications.Count); $index++) {
    if (-not $clients[$index] -or -not $objects[$index]) { continue }
    $Identities[$Setup.Applications[$index].Credential] = @{ ClientId = $clients[$index]; ObjectId = $objects[$index] }
}
