package api

// page is one page of a list other than that of the agents.
type page[T any] struct {
	Object     string  `json:"object"`
	Data       []T     `json:"data"`
	NextCursor *string `json:"next_cursor"` // null on the last page
}

// newPage returns the first limit items as a page. The cursor of the next page is the name of the
// last item.
func newPage[T, V any](items []T, limit int, name func(T) string, view func(T) V) page[V] {
	p := page[V]{Object: "list", Data: []V{}}
	for i, item := range items {
		if i == limit {
			last := name(items[i-1])
			p.NextCursor = &last
			break
		}
		p.Data = append(p.Data, view(item))
	}
	return p
}
