package pattern

import (
	"errors"
	"regexp"
	"regexp/syntax"
)

// maxProgram bounds a regular expression, in instructions: matching costs as many steps for each byte of a line.
const maxProgram = 1000

// Compile reads a regular expression that somebody asks with. One whose matching would be slow is refused.
func Compile(text string) (*regexp.Regexp, error) {
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, err
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return nil, err
	}
	if len(program.Inst) > maxProgram {
		return nil, errors.New("it is too large: use fewer repetitions")
	}
	return regexp.Compile(text)
}
