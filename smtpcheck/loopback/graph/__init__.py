"""The finder that searches by Microsoft Graph: requests, limits, search."""
