package mockserver

import (
	"maps"
	"slices"
)

// ControlVerbs are the operationIds that the control plane has code for.
func ControlVerbs() []string { return slices.Sorted(maps.Keys((&Server{}).controlVerbs())) }
