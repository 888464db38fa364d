package diff

import (
	"bytes"
	"strconv"
)

// appendNumber appends the one spelling of a JSON number's exact value that all
// its spellings share: its significant digits, without zeros at either end, then
// "e" and a power of ten if that is not 0. Zero is "0".
func appendNumber(dst, number []byte) []byte {
	if isPlain(number) {
		return append(dst, number...)
	}
	mantissa, exponent := number, []byte(nil)
	if i := bytes.IndexAny(number, "eE"); i >= 0 {
		mantissa, exponent = number[:i], number[i+1:]
	}
	whole, negative := bytes.CutPrefix(mantissa, []byte("-"))
	whole, fraction, _ := bytes.Cut(whole, []byte("."))

	fraction = bytes.TrimRight(fraction, "0")
	power := -len(fraction)
	if len(fraction) == 0 {
		kept := bytes.TrimRight(whole, "0")
		power, whole = len(whole)-len(kept), kept
	}
	whole = bytes.TrimLeft(whole, "0")
	if len(whole) == 0 {
		fraction = bytes.TrimLeft(fraction, "0")
	}
	if len(whole)+len(fraction) == 0 {
		return append(dst, '0')
	}
	if negative {
		dst = append(dst, '-')
	}
	dst = append(append(dst, whole...), fraction...)
	return appendPower(dst, exponent, power)
}

// isPlain says whether a number is an integer that ends in a digit other than 0:
// it is spelled already as appendNumber would.
func isPlain(number []byte) bool {
	for _, c := range number {
		if c == '.' || c|0x20 == 'e' {
			return false
		}
	}
	return number[len(number)-1] != '0'
}

// appendPower appends "e" and the sum of the exponent as spelled, which may have
// any number of digits, and shift. It appends nothing when the sum is 0.
func appendPower(dst, exponent []byte, shift int) []byte {
	digits, negative := bytes.CutPrefix(exponent, []byte("-"))
	digits = bytes.TrimLeft(digits, "+0")
	if len(digits) > 18 { // beyond int64: |exponent| is far above |shift|
		dst = append(dst, 'e')
		if negative {
			dst, shift = append(dst, '-'), -shift
		}
		return appendSum(dst, digits, int64(shift))
	}
	var n int64
	for _, c := range digits {
		n = n*10 + int64(c-'0')
	}
	if negative {
		n = -n
	}
	n += int64(shift)
	if n == 0 {
		return dst
	}
	return strconv.AppendInt(append(dst, 'e'), n, 10)
}

// appendSum appends the sum of a positive integer of more than 18 digits and one
// of fewer, in time linear in the digits: an exponent may be as long as a record.
func appendSum(dst, digits []byte, carry int64) []byte {
	sum := bytes.Clone(digits)
	for i := len(sum) - 1; i >= 0 && carry != 0; i-- {
		carry += int64(sum[i] - '0')
		digit := (carry%10 + 10) % 10
		sum[i] = byte('0' + digit)
		carry = (carry - digit) / 10
	}
	if carry > 0 {
		return append(strconv.AppendInt(dst, carry, 10), sum...)
	}
	return append(dst, bytes.TrimLeft(sum, "0")...)
}
