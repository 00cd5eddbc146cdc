# ---------------------------------------------------------------------------------------------------------------------
# Workload identity federation: tokens of another issuer in place of a key

enable iamcredentials.googleapis.com
pool=(--project "$project" --location global)
if ! gcloud iam workload-identity-pools describe smtpcheck "${pool[@]}" >/dev/null 2>&1; then
  step 'Creating the workload identity pool smtpcheck'
  save google_pool project "$project" pool smtpcheck
  gcloud iam workload-identity-pools create smtpcheck "${pool[@]}"
fi
if ! gcloud iam workload-identity-pools providers describe issuer "${pool[@]}" \
  --workload-identity-pool smtpcheck >/dev/null 2>&1; then
  step "Creating its provider for $issuer"
  gcloud iam workload-identity-pools providers create-oidc issuer "${pool[@]}" --workload-identity-pool smtpcheck \
    --issuer-uri "$issuer" --attribute-mapping google.subject=assertion.sub
fi

# bind ROLE MEMBER: adding what is there changes nothing.
bind() {
  step "Granting $1 on $account to $2"
  save google_binding project "$project" account "$account" role "$1" member "$3"
  gcloud iam service-accounts add-iam-policy-binding "$account" --project "$project" --role "$1" --member "$2" >/dev/null
}
number=$(gcloud projects describe "$project" --format='value(projectNumber)')
principal=principal://iam.googleapis.com/projects/$number/locations/global/workloadIdentityPools/smtpcheck/subject
bind roles/iam.workloadIdentityUser "$principal/$subject" "$principal/$subject_json"
bind roles/iam.serviceAccountTokenCreator "serviceAccount:$account" "serviceAccount:$account"
if [[ -e $key_file ]]; then
  step "$key_file exists and is kept"
else
  gcloud iam workload-identity-pools create-cred-config \
    "projects/$number/locations/global/workloadIdentityPools/smtpcheck/providers/issuer" --service-account "$account" \
    --credential-source-file "${TOKEN_FILE:-/var/run/secrets/tokens/gcp}" --output-file "$key_file"
  step "$key_file has no secret; it names the file of the token, ${TOKEN_FILE:-/var/run/secrets/tokens/gcp}"
fi
