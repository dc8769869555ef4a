package verdict

import (
	"fmt"

	adminv1 "qdrant-sidecar/gen/qdrantsidecar/admin/v1"
	"qdrant-sidecar/internal/human"
)

// paused: an operator has calls wait.
func paused(v *view) *adminv1.Finding {
	if v.GetPausedSince() == nil {
		return nil
	}
	since := v.GetTime().AsTime().Sub(v.GetPausedSince().AsTime())
	return &adminv1.Finding{
		Culprit: settings, Kind: "paused",
		Sentence: fmt.Sprintf("Calls are paused: somebody has had them wait for %s (qdrant-sidecar pause).", human.Duration(since)),
		Evidence: []string{fmt.Sprintf("%s calls wait for the end of the pause.", human.Count(v.GetQueue().GetWaiting()))},
		Action:   "`qdrant-sidecar resume` lets them go on.",
	}
}

// drained: an operator has taken out every node.
func drained(v *view) *adminv1.Finding {
	f := &adminv1.Finding{
		Culprit: settings, Kind: "drained",
		Sentence: "All nodes of Qdrant are taken out: somebody has drained them (qdrant-sidecar drain).",
		Action:   "`qdrant-sidecar undrain` brings a node back.",
	}
	for _, n := range v.GetNodes() {
		switch n.GetStanding() {
		case "gone":
		case "drained":
			f.Evidence = append(f.Evidence, n.GetAddress()+" is drained.")
		default:
			return nil
		}
	}
	if f.GetEvidence() == nil {
		return nil
	}
	return f
}
