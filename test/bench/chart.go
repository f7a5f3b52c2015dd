package main

import (
	"fmt"
	"html"
	"math"
	"slices"
	"strings"
	"time"
)

// chart is a bar for each case: how many times the bare limit's CPU time a request takes,
// with its range and its goal.
func (r *report) chart() string {
	const left, right, rowHeight, top = 230, 580, 40, 40
	highest := 1.0
	for _, row := range r.Closed {
		_, _, high := row.ratio()
		highest = max(highest, high, row.Goal)
	}
	x := func(ratio float64) float64 { return left + (right-left)*ratio/highest }
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 660 %d" font-family="system-ui, sans-serif" font-size="13">`+"\n", top+rowHeight*len(r.Closed)+30)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="#fff"/><text x="10" y="22" font-size="14">CPU time per request, in times of the bare limit's (line: range; mark: goal)</text>`+"\n")
	for i, row := range r.Closed {
		middle, low, high := row.ratio()
		y := float64(top + rowHeight*i)
		fmt.Fprintf(&b, `<text x="%d" y="%.0f" text-anchor="end">%s</text>`, left-10, y+19, row.Name)
		fmt.Fprintf(&b, `<rect x="%d" y="%.0f" width="%.1f" height="18" fill="#2f7d5b"/>`, left, y+6, x(middle)-left)
		fmt.Fprintf(&b, `<line x1="%.1f" x2="%.1f" y1="%.0f" y2="%.0f" stroke="#1a1f24"/>`, x(low), x(high), y+15, y+15)
		fmt.Fprintf(&b, `<line x1="%.1f" x2="%.1f" y1="%.0f" y2="%.0f" stroke="#b3261e" stroke-width="2"/>`, x(row.Goal), x(row.Goal), y+2, y+28)
		fmt.Fprintf(&b, `<text x="%.1f" y="%.0f">%.2f</text>`+"\n", x(max(high, row.Goal))+8, y+19, middle)
	}
	fmt.Fprintf(&b, `<text x="10" y="%d" fill="#5c6670" font-size="11">%s, %d CPUs, 4 × %d agents, %s</text></svg>`+"\n", top+rowHeight*len(r.Closed)+20, r.Go, r.CPUs, r.Agents, r.At.Format(time.DateOnly))
	return b.String()
}

// colours tell series apart, in the order in which they are named.
var colours = []string{"#2f7d5b", "#1f5fa8", "#b3261e", "#8a5a00", "#6b3fa0"}

// chart is the series as lines, both axes in powers of ten: a straight line at 45 degrees
// grows as what grows does, a level one does not grow.
func (c curve) chart() string {
	const left, right, top, bottom = 60, 600, 40, 300
	low, high := math.Inf(1), math.Inf(-1)
	for _, s := range c.Series {
		low, high = min(low, slices.Min(s.Values)), max(high, slices.Max(s.Values))
	}
	bottomAt, topAt := math.Floor(math.Log10(low)), math.Ceil(math.Log10(high))
	first, last := math.Log10(c.At[0]), math.Log10(c.At[len(c.At)-1])
	x := func(at float64) float64 { return left + (right-left)*(math.Log10(at)-first)/max(last-first, 1) }
	y := func(value float64) float64 {
		return bottom - (bottom-top)*(math.Log10(value)-bottomAt)/max(topAt-bottomAt, 1)
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 640 %d" font-family="system-ui, sans-serif" font-size="12">`+"\n", bottom+60+18*len(c.Series))
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="#fff"/><text x="10" y="22" font-size="14">%s</text>`+"\n", html.EscapeString(c.Name))
	for power := bottomAt; power <= topAt; power++ {
		value := math.Pow(10, power)
		fmt.Fprintf(&b, `<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" stroke="#d7dce0"/><text x="%d" y="%.1f" text-anchor="end">%g</text>`+"\n", left, right, y(value), y(value), left-6, y(value)+4, value)
	}
	for _, at := range c.At {
		fmt.Fprintf(&b, `<text x="%.1f" y="%d" text-anchor="middle">%g</text>`+"\n", x(at), bottom+18, at)
	}
	fmt.Fprintf(&b, `<text x="%d" y="%d" fill="#5c6670">%s; %s</text>`+"\n", left, bottom+36, html.EscapeString(c.Over), html.EscapeString(c.Unit))
	for i, s := range c.Series {
		var points []string
		for j, value := range s.Values {
			points = append(points, fmt.Sprintf("%.1f,%.1f", x(c.At[j]), y(value)))
		}
		colour := colours[i%len(colours)]
		fmt.Fprintf(&b, `<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>`+"\n", strings.Join(points, " "), colour)
		for j, value := range s.Values {
			fmt.Fprintf(&b, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"><title>%g: %.1f</title></circle>`, x(c.At[j]), y(value), colour, c.At[j], value)
		}
		at := bottom + 56 + 18*i
		fmt.Fprintf(&b, `<rect x="%d" y="%d" width="12" height="3" fill="%s"/><text x="%d" y="%d">%s</text>`+"\n", left, at-5, colour, left+20, at, html.EscapeString(s.Name))
	}
	return b.String() + "</svg>\n"
}
