[CmdletBinding()]
param(
    # Also make the changes that replace or remove something; without it they are only announced.
    [switch] $Replace,
    # Check everything, and change nothing.
    [switch] $CheckOnly,
    # Where the script writes what was there, before each change: smtpcheck setup --undo FILE takes it back.
    [string] $RecordFile = "smtpcheck-setup-$([DateTime]::UtcNow.ToString('yyyyMMdd-HHmmss')).jsonl"
)
