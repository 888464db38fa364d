package diff

import "bytes"

// Clean returns the record less what r ignores, on one line: ignored object
// members and array elements are removed, and white space between tokens;
// everything else stays as it was sent, byte for byte. It returns raw itself when
// there is nothing to remove, and a copy otherwise. Of a record that is nothing
// but a volatile URL, null remains. The error is that raw is not one JSON value.
//
// Members are removed one by one, before the last of several with the same name
// counts. Cleaning twice is cleaning once, unless a pointer of r names an array
// element by its index: the elements behind it move up.
func (r *Rules) Clean(raw []byte) ([]byte, error) {
	c, ok := r.cleaners.Get().(*cleaner)
	if !ok {
		c = new(cleaner)
	}
	defer func() {
		c.trim()
		r.cleaners.Put(c)
	}()
	c.reset(raw)
	c.urls = r.urls
	c.out = c.out[:0]

	kept, err := c.value(r.ignore)
	if err == nil {
		err = c.end()
	}
	if err != nil {
		return nil, describe(err)
	}
	switch {
	case !kept:
		return []byte("null"), nil
	case len(c.out) == len(raw): // bytes are only ever left out
		return raw, nil
	default:
		return bytes.Clone(c.out), nil
	}
}

// A cleaner copies what is kept of a record.
type cleaner struct {
	reader
	urls bool
	out  []byte
	text []byte // of the string looked at
}

// trim lets go of memory that one unusually large record took.
func (c *cleaner) trim() {
	if cap(c.out) > maxPooled {
		c.out = nil
	}
	if cap(c.text) > maxPooled {
		c.text = nil
	}
}

// value copies the next value, unless it is ignored: then it copies nothing and
// returns false.
func (c *cleaner) value(at *step) (kept bool, err error) {
	if at.dropped() {
		_, err := c.next()
		return false, err
	}
	switch c.dec.PeekKind() {
	case '{':
		return true, c.object(at)
	case '[':
		return true, c.array(at)
	}
	scalar, err := c.next()
	if err != nil {
		return false, err
	}
	if c.urls && scalar[0] == '"' && isURL(c.decode(scalar)) {
		return false, nil
	}
	c.out = append(c.out, scalar...)
	return true, nil
}

func (c *cleaner) array(at *step) error {
	if err := c.skipToken(); err != nil {
		return err
	}
	c.out = append(c.out, '[')
	first := len(c.out)
	for i := 0; c.dec.PeekKind() != ']'; i++ {
		mark := c.separate(first)
		kept, err := c.value(at.element(i))
		if err != nil {
			return err
		}
		if !kept {
			c.out = c.out[:mark]
		}
	}
	c.out = append(c.out, ']')
	return c.skipToken()
}

func (c *cleaner) object(at *step) error {
	if err := c.skipToken(); err != nil {
		return err
	}
	c.out = append(c.out, '{')
	first := len(c.out)
	for c.dec.PeekKind() != '}' {
		mark := c.separate(first)
		kept, err := c.member(at)
		if err != nil {
			return err
		}
		if !kept {
			c.out = c.out[:mark]
		}
	}
	c.out = append(c.out, '}')
	return c.skipToken()
}

func (c *cleaner) member(at *step) (kept bool, err error) {
	quoted, err := c.next()
	if err != nil {
		return false, err
	}
	var next *step
	if at != nil || c.urls {
		name := c.decode(quoted)
		next = at.member(name)
		if c.urls && isURL(name) {
			next = &step{drop: true}
		}
	}
	c.out = append(append(c.out, quoted...), ':')
	return c.value(next)
}

// separate writes a comma after what stands behind first, and returns where the
// output ended before.
func (c *cleaner) separate(first int) int {
	mark := len(c.out)
	if mark > first {
		c.out = append(c.out, ',')
	}
	return mark
}

// decode returns the characters of a quoted string until the next call.
func (c *cleaner) decode(quoted []byte) []byte {
	c.text = appendText(c.text[:0], quoted)
	return c.text
}
