function Add-Certificate([hashtable] $Wanted, $Found) {
    # The list of certificates is replaced as a whole, so those that are there are sent along, and counted afterwards.
    if (-not $Found.Application) {
        Write-Warning "$($Wanted.Credential): the application is registered in another tenant; add the certificate there."
        return
    }
    $id = $Found.Application.Id
    $bytes = [Convert]::FromBase64String($Wanted.Proof.Certificate)
    $certificate = New-Object -TypeName 'System.Security.Cryptography.X509Certificates.X509Certificate2' -ArgumentList @(, $bytes)
    $former = @((Get-MgApplication -ApplicationId $id -Property @('id', 'keyCredentials')).KeyCredentials | Where-Object { $_ })
    $same = @($former | Where-Object { $_.CustomKeyIdentifier } | Where-Object {
        [BitConverter]::ToString($_.CustomKeyIdentifier).Replace('-', '') -in @($certificate.Thumbprint, $Wanted.Proof.Sha256)
    })
    if ($same.Count -gt 0) {
        Write-Step "The certificate $($certificate.Thumbprint) is registered"
        return
    }
    Write-Step "Adding the certificate $($certificate.Thumbprint), which expires $($Wanted.Proof.Expires)"
    Save-Record 'certificate' 'before' @{ object_id = $id; thumbprint = $certificate.Thumbprint }
    $keys = $former + @{ Type = 'AsymmetricX509Cert'; Usage = 'Verify'; Key = $certificate.RawData; DisplayName = 'smtpcheck' }
    Update-MgApplication -ApplicationId $id -KeyCredentials $keys
    $left = @((Get-MgApplication -ApplicationId $id -Property @('id', 'keyCredentials')).KeyCredentials | ForEach-Object { $_.KeyId })
    $lost = @($former | Where-Object { $_.KeyId -notin $left })
    if ($lost.Count -gt 0) {
        throw "The application has lost certificates that it had, by their ids: $(@($lost | ForEach-Object { $_.KeyId }) -join ', ')"
    }
}
