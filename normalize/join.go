package normalize

import "slices"

// Join returns the agent's detail completed with what only its row in the list shows.
// If both show a field, the detail's value is used. With a nil row it returns the
// detail.
func Join(detail, row *Agent) *Agent {
	if row == nil {
		return detail
	}
	joined := *detail
	joined.RawList = row.RawList
	if row.Avatar != nil {
		avatar := *row.Avatar
		if detail.Avatar != nil {
			avatar = *detail.Avatar
			fill(&avatar.ID, row.Avatar.ID)
			fill(&avatar.Name, row.Avatar.Name)
			fill(&avatar.URL, row.Avatar.URL)
			fill(&avatar.VoiceID, row.Avatar.VoiceID)
		}
		joined.Avatar = &avatar
	}
	joined.Warnings = slices.Concat(detail.Warnings, row.Warnings)
	joined.Extensions = joinExtensions(detail, row)
	// A field is loaded if either shows it, and unavailable if neither ever does.
	joined.NotLoaded = detail.NotLoaded & (row.NotLoaded | row.Unavailable)
	joined.Unavailable = detail.Unavailable & (row.Unavailable | row.NotLoaded)
	return &joined
}

func fill(target **string, value *string) {
	if *target == nil {
		*target = value
	}
}
