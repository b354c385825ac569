package mockserver

import "strings"

// nearest is the candidate that a misspelled name most likely means, or nothing when none is near. Spelling that differs by
// case, hyphens and underscores alone counts as the same.
func nearest(name string, candidates []string) string {
	if len(name) > 100 {
		return "" // nobody misspells at this length, and comparing costs its square
	}
	best, bestDistance := "", max(2, len(name)/4)+1
	for _, candidate := range candidates {
		if d := distance(plain(name), plain(candidate)); d < bestDistance && d < len(candidate) {
			best, bestDistance = candidate, d
		}
	}
	return best
}

func plain(name string) string {
	return strings.NewReplacer("_", "", "-", "", " ", "").Replace(strings.ToLower(name))
}

// distance is how many bytes must be changed, put in, taken out, or swapped with their neighbor to make a into b.
func distance(a, b string) int {
	before, row := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		older := before
		before, row = row, make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(before[j+1]+1, row[j]+1, before[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], older[j-1]+1)
			}
		}
	}
	return row[len(b)]
}
