package main

import (
	"cmp"
	"fmt"
	"image/color"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"
)

// drawn are the targets in the picture, with the names and colours that they have there. The colours can be told apart
// by people who see no red or green.
var drawn = []struct {
	target, name string
	color        color.Color
	shape        draw.GlyphDrawer
}{
	{"amlgate", "amlgate", color.RGBA{0x00, 0x72, 0xb2, 0xff}, draw.CircleGlyph{}},
	{"reverseproxy", "ReverseProxy", color.RGBA{0xe6, 0x9f, 0x00, 0xff}, draw.BoxGlyph{}},
	{"nginx", "nginx", color.RGBA{0x55, 0x55, 0x55, 0xff}, draw.PyramidGlyph{}},
}

// The picture's measures.
const (
	width, height = 32 * vg.Centimeter, 13 * vg.Centimeter
	gap           = 0.4 * vg.Centimeter
)

// paint draws what the folder has into a picture: throughput against latency on the left, CPU time a call on the right.
func paint(o *options) error {
	sweep, err := readFile(filepath.Join(o.out, "sweep.tsv"))
	if err != nil {
		return err
	}
	rounds, err := readFile(filepath.Join(o.out, "results.tsv"))
	if err != nil {
		return err
	}
	if len(sweep) == 0 || len(rounds) == 0 {
		return fmt.Errorf("%s: sweep.tsv and results.tsv are needed; measure once with -sweep and once without", o.out)
	}
	name := cmp.Or(o.picture, filepath.Join(o.out, "picture.svg"))
	return write(name, func(w io.Writer) error {
		if strings.HasSuffix(name, ".png") {
			c := vgimg.PngCanvas{Canvas: vgimg.NewWith(vgimg.UseWH(width, height), vgimg.UseDPI(110))}
			panels(draw.New(c), table{sweep}, table{rounds})
			_, err := c.WriteTo(w)
			return err
		}
		c := vgsvg.New(width, height)
		panels(draw.New(c), table{sweep}, table{rounds})
		_, err := c.WriteTo(w)
		return err
	})
}

// panels draws the picture's parts side by side.
func panels(c draw.Canvas, sweep, rounds table) {
	c.SetColor(color.White)
	c.Fill(c.Rectangle.Path())
	sizes := rounds.sizes()
	left := (c.Max.X - c.Min.X) * 0.43
	curves(sweep).Draw(draw.Crop(c, gap, left-c.Max.X, gap, -gap))
	each := (c.Max.X - left - gap) / vg.Length(len(sizes))
	for i, size := range sizes {
		from := left + each*vg.Length(i)
		bars(rounds, size, i == 0).Draw(draw.Crop(c, from+gap, from+each-c.Max.X, gap, -gap))
	}
}

// curves plots throughput against latency, a line a target from few calls at a time to many.
func curves(t table) *plot.Plot {
	p := styled()
	size := t.sizes()[0]
	p.Title.Text = fmt.Sprintf("%s, 1 to %d calls at a time", size, slices.Max(concurrencies(t)))
	p.X.Label.Text, p.Y.Label.Text = "calls a second", "p99 latency, ms"
	p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, plot.TickerFunc(decimalTicks)
	p.Legend.Top, p.Legend.Left = true, true
	p.Add(grid())
	for _, d := range drawn {
		var points plotter.XYs
		for _, concurrency := range concurrencies(t) {
			at := t.of(d.target, size)
			at = slices.DeleteFunc(at, func(r result) bool { return r.concurrency != concurrency })
			if len(at) > 0 {
				points = append(points, plotter.XY{X: medianOf(at, rateOf), Y: medianOf(at, p99Of)})
			}
		}
		line, marks, err := plotter.NewLinePoints(points)
		if err != nil { // nothing of this target
			continue
		}
		line.Color, line.Width = d.color, vg.Points(2)
		marks.Color, marks.Shape, marks.Radius = d.color, d.shape, vg.Points(4)
		p.Add(line, marks)
		p.Legend.Add(d.name, line, marks)
	}
	p.X.Min, p.X.Max = 0, p.X.Max*1.05
	p.Y.Min, p.Y.Max = p.Y.Min*0.8, p.Y.Max*5 // room for the legend
	return p
}

func concurrencies(t table) []int {
	var out []int
	for _, r := range t.results {
		out = append(out, r.concurrency)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// bars plots CPU time a call at one size, a bar a target.
func bars(t table, size string, first bool) *plot.Plot {
	p := styled()
	p.Title.Text = "CPU, " + size
	if first {
		p.Y.Label.Text = "proxy CPU a call, µs"
	}
	p.Y.Min = 0
	var names []string
	for _, d := range drawn {
		cpu := medianOf(t.of(d.target, size), cpuOf)
		if cpu == 0 {
			continue
		}
		bar, err := plotter.NewBarChart(plotter.Values{cpu}, vg.Points(26))
		if err != nil {
			continue
		}
		bar.XMin, bar.Color, bar.LineStyle.Width = float64(len(names)), d.color, 0
		label, err := plotter.NewLabels(plotter.XYLabels{XYs: plotter.XYs{{X: float64(len(names)), Y: cpu}}, Labels: []string{fmt.Sprintf("%.0f", cpu)}})
		if err != nil {
			continue
		}
		label.TextStyle[0].XAlign, label.Offset.Y = draw.XCenter, vg.Points(3)
		label.TextStyle[0].Font.Size, label.TextStyle[0].Font.Variant = vg.Points(11), "Sans"
		p.Add(bar, label)
		p.Y.Max = max(p.Y.Max, cpu*1.12)
		names = append(names, d.name)
	}
	if len(names) == 0 { // a size at which none of them was measured
		return p
	}
	p.NominalX(names...)
	p.X.Min, p.X.Max = -0.6, float64(len(names))-0.4
	p.X.Tick.Label.Rotation, p.X.Tick.Label.XAlign, p.X.Tick.Label.YAlign = 0.6, draw.XRight, draw.YTop
	return p
}

// styled is an empty plot with texts of a size that can be read.
func styled() *plot.Plot {
	plot.DefaultFont.Variant = "Sans"
	p := plot.New()
	p.Title.TextStyle.Font.Size, p.Title.Padding = vg.Points(13), vg.Points(8)
	for _, a := range []*plot.Axis{&p.X, &p.Y} {
		a.Label.TextStyle.Font.Size, a.Tick.Label.Font.Size = vg.Points(12), vg.Points(11)
		a.Label.Padding = vg.Points(4)
	}
	p.Legend.TextStyle.Font.Size, p.Legend.ThumbnailWidth = vg.Points(12), vg.Points(30)
	p.Legend.Padding, p.Legend.XOffs, p.Legend.YOffs = vg.Points(3), vg.Points(10), vg.Points(-6)
	return p
}

func grid() *plotter.Grid {
	g := plotter.NewGrid()
	g.Vertical.Color, g.Horizontal.Color = color.Gray{0xe0}, color.Gray{0xe0}
	return g
}

// decimalTicks marks a logarithmic axis at 1, 2 and 5 of each decade, written out.
func decimalTicks(least, most float64) []plot.Tick {
	var ticks []plot.Tick
	for decade := -3; math.Pow10(decade) <= most; decade++ {
		for _, m := range []float64{1, 2, 5} {
			if v, _ := strconv.ParseFloat(fmt.Sprintf("%ge%d", m, decade), 64); v >= least*0.999 && v <= most*1.001 {
				ticks = append(ticks, plot.Tick{Value: v, Label: strconv.FormatFloat(v, 'f', -1, 64)})
			}
		}
	}
	return ticks
}
