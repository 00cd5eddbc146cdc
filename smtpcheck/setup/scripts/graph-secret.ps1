function Add-Secret([hashtable] $Wanted, $Found) {
    # A secret is made only where the application has none; it is shown once, here, and written to no file.
    if (-not $Found.Application) { return }
    $id = $Found.Application.Id
    if (@($Found.Application.PasswordCredentials | Where-Object { $_ }).Count -gt 0) {
        Write-Step 'The application has a secret; it is kept'
        return
    }
    Write-Step 'Creating a client secret that is valid for a year'
    Save-Record 'secret' 'before' @{ object_id = $id }
    $body = @{ passwordCredential = @{ displayName = 'smtpcheck'; endDateTime = [DateTime]::UtcNow.AddYears(1) } }
    $secret = Invoke-UntilReplicated { Add-MgApplicationPassword -ApplicationId $id -BodyParameter $body }
    Save-Record 'secret' 'done' @{ object_id = $id; key_id = $secret.KeyId }
    Write-Host "    Put this value into $($Wanted.Proof.Source), now: it is shown only this once."
    Write-Host "    $($secret.SecretText)"
    Write-Host "    And into the configuration: client_secret_expires: $($secret.EndDateTime.ToString('yyyy-MM-dd'))"
}
