package trackopstest

// dice is a small deterministic random source (splitmix64). Every field of every
// record has its own, so a record's content follows from the seed and its number
// alone, and is made only when it is asked for.
type dice uint64

func newDice(parts ...uint64) dice {
	var d dice
	for _, p := range parts {
		d ^= dice(p)
		d = dice(d.next())
	}
	return d
}

func (d *dice) next() uint64 {
	*d += 0x9e3779b97f4a7c15
	z := uint64(*d)
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb
	return z ^ (z >> 31)
}

// n returns a number in [0, limit); 0 if limit is not positive.
func (d *dice) n(limit int) int {
	if limit <= 0 {
		return 0
	}
	return int(d.next() % uint64(limit))
}

func (d *dice) between(low, high int) int { return low + d.n(high-low+1) }

func (d *dice) pick(choices []string) string { return choices[d.n(len(choices))] }

func (d *dice) chance(p float64) bool { return float64(d.next()>>11)/(1<<53) < p }
