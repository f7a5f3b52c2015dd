package conformance

// Checks returns the checks of the suite.
func Checks() []Check {
	return []Check{
		{"list shows every agent once", listShowsEveryAgent},
		{"list ends where the vendor's does", listEnds},
		{"get shows what list shows", getShowsWhatListShows},
		{"fields are shown as declared", fieldsAsDeclared},
		{"unknown members ride along", unknownMembers},
		{"undeclared operations send nothing", undeclaredOperations},
		{"create keeps every field", createKeepsEveryField},
		{"create requires what is declared", createRequires},
		{"update changes what it is told and nothing else", updateChanges},
		{"delete is for good", deleteIsForGood},
		{"a missing agent is not found", missingAgent},
		{"strange ids stay inside their segment", strangeIDs},
		{"documented errors have their kind", documentedErrors},
		{"broken answers have their kind", brokenAnswers},
		{"a cancelled call sends nothing", cancelledCall},
		{"a caller who leaves is not waited for", leavingCaller},
		{"writes are sent once", writesOnce},
		{"a write's answer is read", writesNeedAnAnswer},
		{"credentials go where they belong", credentialPlace},
		{"each credential sees its own", credentialsApart},
		{"concurrent calls do not disturb each other", concurrentCalls},
	}
}
