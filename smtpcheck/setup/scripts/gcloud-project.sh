# ---------------------------------------------------------------------------------------------------------------------
# Is this the right project and administrator?

command -v gcloud >/dev/null || stop 'The Google Cloud CLI is not installed: https://cloud.google.com/sdk/docs/install'
[[ $project ]] || project=${PROJECT:-$(gcloud config get-value project 2>/dev/null)}
[[ $project ]] || stop 'Name the project: PROJECT=... bash setup.sh'
gcloud projects describe "$project" --format='value(projectNumber)' >/dev/null ||
  stop "The project $project cannot be read: gcloud auth login, with an account that administers it."
[[ $account ]] || account=$account_id@$project.iam.gserviceaccount.com

find_account() {
  gcloud iam service-accounts list --project "$project" --filter="email=$account" --format='value(uniqueId)'
}

enable() {
  local there
  there=$(gcloud services list --enabled --project "$project" --filter="config.name=$1" --format='value(config.name)')
  [[ ! $there ]] || return 0
  step "Enabling $1"
  save google_service project "$project" service "$1"
  gcloud services enable "$1" --project "$project"
}
