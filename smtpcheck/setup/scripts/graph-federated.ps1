function Add-FederatedCredential([hashtable] $Wanted, $Found) {
    # Issuer, subject and audience are compared letter by letter with those of the token.
    if (-not $Found.Application) {
        Write-Warning "$($Wanted.Credential): the application is registered in another tenant; add the credential there."
        return
    }
    $id = $Found.Application.Id
    $issuer = $Wanted.Proof.Issuer
    if (-not $issuer) { $issuer = "https://$($Setup.LoginHost)/$TenantId/v2.0" }
    $there = @(Get-MgApplicationFederatedIdentityCredential -ApplicationId $id -All |
        Where-Object { $_.Issuer -ceq $issuer -and $_.Subject -ceq $Wanted.Proof.Subject })
    if ($there.Count -gt 0) {
        Write-Step "The federated credential for $($Wanted.Proof.Subject) is registered"
        return
    }
    Write-Step "Adding a federated credential for $($Wanted.Proof.Subject)"
    Save-Record 'federated_credential' 'before' @{ object_id = $id; subject = $Wanted.Proof.Subject }
    $body = @{ name = 'smtpcheck'; issuer = $issuer; subject = $Wanted.Proof.Subject; audiences = @($Wanted.Proof.Audience) }
    $made = Invoke-UntilReplicated { New-MgApplicationFederatedIdentityCredential -ApplicationId $id -BodyParameter $body }
    Save-Record 'federated_credential' 'done' @{ object_id = $id; subject = $Wanted.Proof.Subject; credential_id = $made.Id }
}
