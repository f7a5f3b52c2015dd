package normalize

// Join completes an agent's detail with what only its row in the list shows.
// Where both show a field the detail's value stands: it was asked for by name.
// It returns a new agent; a nil row leaves those fields not loaded.
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
	joined.Extensions = joinExtensions(detail, row)
	// Loaded is what either of the two loaded; never shown, what neither shows.
	joined.NotLoaded = detail.NotLoaded & (row.NotLoaded | row.Unavailable)
	joined.Unavailable = detail.Unavailable & (row.Unavailable | row.NotLoaded)
	return &joined
}

func fill(target **string, value *string) {
	if *target == nil {
		*target = value
	}
}
