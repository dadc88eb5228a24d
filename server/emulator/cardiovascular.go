package emulator

import "math"

// riskModel is one sex's column of the table of regression coefficients "for
// the general CVD risk functions" in D'Agostino et al. 2008 (see doc.go): the
// Cox model with lipids. Age and measurements enter by their logarithm.
type riskModel struct {
	age, totalCholesterol, hdlCholesterol float64
	pressureUntreated, pressureTreated    float64
	smoker, diabetic                      float64
	survival                              float64 // baseline survival at 10 years
	mean                                  float64 // the sum of the average participant
}

var (
	riskOfMen = riskModel{
		age: 3.06117, totalCholesterol: 1.12370, hdlCholesterol: -0.93263,
		pressureUntreated: 1.93303, pressureTreated: 1.99881,
		smoker: 0.65451, diabetic: 0.57367,
		survival: 0.88936, mean: 23.9802,
	}
	riskOfWomen = riskModel{
		age: 2.32888, totalCholesterol: 1.20904, hdlCholesterol: -0.70833,
		pressureUntreated: 2.76157, pressureTreated: 2.82263,
		smoker: 0.52873, diabetic: 0.69154,
		survival: 0.95012, mean: 26.1931,
	}
)

// person is what the model needs to know. Cholesterol is in mg/dL, pressure in
// mm Hg, age in years.
type person struct {
	female                                          bool
	age, totalCholesterol, hdlCholesterol, pressure float64
	treated, smoker, diabetic                       bool
}

// risk is the probability, 0 to 1, of a first cardiovascular event within ten
// years.
func (p person) risk() float64 {
	m := riskOfMen
	if p.female {
		m = riskOfWomen
	}
	sum := m.age*math.Log(p.age) + m.totalCholesterol*math.Log(p.totalCholesterol) + m.hdlCholesterol*math.Log(p.hdlCholesterol)
	if p.treated {
		sum += m.pressureTreated * math.Log(p.pressure)
	} else {
		sum += m.pressureUntreated * math.Log(p.pressure)
	}
	if p.smoker {
		sum += m.smoker
	}
	if p.diabetic {
		sum += m.diabetic
	}
	return 1 - math.Pow(m.survival, math.Exp(sum-m.mean))
}

// cardiovascularRisk describes the service. The age is limited to that of the
// study's participants; the other ranges only refuse what is no measurement,
// so that every logarithm is a number.
func cardiovascularRisk() *service {
	input := []column{
		{name: "Sex", typ: typeString, categories: []string{"male", "female"}, sample: `"female"`, description: "The sex the coefficients are chosen by."},
		{name: "Age", typ: typeInt32, min: 30, max: 74, sample: `61`, description: "Years, 30 to 74 as in the study."},
		{name: "TotalCholesterol", typ: typeDouble, min: 1, max: 2000, sample: `180`, description: "Total cholesterol in mg/dL."},
		{name: "HdlCholesterol", typ: typeDouble, min: 1, max: 2000, sample: `47`, description: "High-density lipoprotein cholesterol in mg/dL."},
		{name: "SystolicBloodPressure", typ: typeDouble, min: 1, max: 2000, sample: `124`, description: "Systolic blood pressure in mm Hg."},
		{name: "Treated", typ: typeBoolean, sample: `false`, description: "Whether the blood pressure is that under treatment."},
		{name: "Smoker", typ: typeBoolean, sample: `true`, description: "Whether the person smokes."},
		{name: "Diabetic", typ: typeBoolean, sample: `false`, description: "Whether the person has diabetes."},
	}
	scored := append(input[:len(input):len(input)],
		column{name: "Scored Probabilities", typ: typeDouble, description: "Risk of a first cardiovascular event within ten years, 0 to 1; null if an input is missing."},
		column{name: "Scored Labels", typ: typeBoolean, description: "Whether the risk reaches the threshold; null if an input is missing."})
	return &service{
		id: "cardiovascular-risk",
		description: "Ten-year risk of cardiovascular disease by the Cox model with lipids of D'Agostino et al., " +
			"General Cardiovascular Risk Profile for Use in Primary Care: The Framingham Heart Study, Circulation 2008;117:743-753. " +
			"A demonstration, not medical advice.",
		input: port{name: "input1", columns: input},
		parameters: []parameter{{
			column:   column{name: "High risk threshold", typ: typeDouble, min: 0, max: 1, sample: `0.2`, description: "The risk from which a row is labelled."},
			fallback: `0.2`,
		}},
		outputs: []port{
			{name: "output1", columns: scored},
			{name: "output2", columns: []column{
				{name: "Rows", typ: typeInt32, present: true, description: "How many rows the request had."},
				{name: "High risk rows", typ: typeInt32, present: true, description: "How many of them were labelled."},
			}},
		},
		score: scoreRisk,
	}
}

// scoreRisk scores every row whose input is complete.
func scoreRisk(input, parameters *table) []*table {
	threshold := parameters.vectors[0].numbers[0]
	risk := vector{numbers: make([]float64, input.rows), missing: make([]bool, input.rows)}
	label := vector{numbers: make([]float64, input.rows), missing: risk.missing}
	labelled := 0.0
	in := input.vectors
	for row := range input.rows {
		for i := range in {
			risk.missing[row] = risk.missing[row] || in[i].isMissing(row)
		}
		if risk.missing[row] {
			continue
		}
		risk.numbers[row] = person{
			female:           in[0].texts[row] == "female",
			age:              in[1].numbers[row],
			totalCholesterol: in[2].numbers[row],
			hdlCholesterol:   in[3].numbers[row],
			pressure:         in[4].numbers[row],
			treated:          in[5].numbers[row] != 0,
			smoker:           in[6].numbers[row] != 0,
			diabetic:         in[7].numbers[row] != 0,
		}.risk()
		if risk.numbers[row] >= threshold {
			label.numbers[row] = 1
			labelled++
		}
	}
	scored := append(in[:len(in):len(in)], risk, label)
	counts := []vector{{numbers: []float64{float64(input.rows)}}, {numbers: []float64{labelled}}}
	return []*table{{rows: input.rows, vectors: scored}, {rows: 1, vectors: counts}}
}
