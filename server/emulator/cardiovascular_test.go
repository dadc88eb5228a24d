package emulator

import (
	"math"
	"testing"
)

// The two worked examples of the paper, which gives 10.48 % and 15.62 %.
func TestPublishedRisks(t *testing.T) {
	t.Parallel()
	woman := person{female: true, age: 61, totalCholesterol: 180, hdlCholesterol: 47, pressure: 124, smoker: true}
	man := person{age: 53, totalCholesterol: 161, hdlCholesterol: 55, pressure: 125, treated: true, diabetic: true}
	for want, p := range map[float64]person{0.1048: woman, 0.1562: man} {
		if got := p.risk(); math.Abs(got-want) > 0.00005 {
			t.Errorf("%+v: got %v, want %v", p, got, want)
		}
	}
}

// Each factor moves the risk to where it should, for both sexes, and the risk
// stays a probability at the ends of the ranges.
func TestRiskMoves(t *testing.T) {
	t.Parallel()
	for _, female := range []bool{false, true} {
		base := person{female: female, age: 50, totalCholesterol: 200, hdlCholesterol: 50, pressure: 130}
		for name, change := range map[string]func(*person){
			"age":         func(p *person) { p.age++ },
			"cholesterol": func(p *person) { p.totalCholesterol++ },
			"HDL":         func(p *person) { p.hdlCholesterol-- },
			"pressure":    func(p *person) { p.pressure++ },
			"treatment":   func(p *person) { p.treated = true },
			"smoking":     func(p *person) { p.smoker = true },
			"diabetes":    func(p *person) { p.diabetic = true },
		} {
			changed := base
			change(&changed)
			if !(changed.risk() > base.risk()) {
				t.Errorf("female %v: %s does not raise the risk", female, name)
			}
		}
		for _, p := range []person{
			{female: female, age: 30, totalCholesterol: 1, hdlCholesterol: 2000, pressure: 1},
			{female: female, age: 74, totalCholesterol: 2000, hdlCholesterol: 1, pressure: 2000, treated: true, smoker: true, diabetic: true},
		} {
			if risk := p.risk(); !(risk >= 0 && risk <= 1) {
				t.Errorf("%+v: risk %v", p, risk)
			}
		}
	}
}
