package builtin

import (
	"fmt"
	"regexp"
	"strings"
)

// skill is something that it can do with material, and how instructions ask for it.
type skill struct {
	asked *regexp.Regexp
	do    func(t *turn, material string) string
}

var skills = []skill{
	{regexp.MustCompile(`(?i)\bextract\w*\b[^.\n]{0,80}\b(?:entit|names?\b|people|persons?\b|organi[sz]ation|compan)|\b(?:find|identify|list|name) (?:all|every|each|the)\b[^.\n]{0,40}\b(?:entit|names?\b|people|person|organi[sz]ation|compan)|\bentity (?:extraction|recognition)\b`), listEntities},
	{regexp.MustCompile(`(?i)\b(?:create|write|make|formulate|generate|turn)\b[^.\n]{0,50}\bquer(?:y|ies)\b`), writeQuery},
	{regexp.MustCompile(`(?i)\breview(?:s|er|ing)?\b|\bcritic\b|\bcritique\b|\bproofread|\bfact.?check`), review},
	{regexp.MustCompile(`(?i)\bjournalist\b|\breporter\b|\b(?:write|writes|writing|draft|compose|author|writer)\b`), writeArticle},
	{regexp.MustCompile(`(?i)\bsummar(?:y|i[sz]e|ies)`), func(_ *turn, m string) string { return summary(m) }},
}

// final is the last word of a turn.
func (m Model) final(t *turn) string {
	tag := outputTag(t.system)
	if failed := t.failure(); failed != "" {
		return failed
	}
	if relays.MatchString(t.system) && len(t.uses) > 0 {
		if work := t.work(); work != "" {
			return shaped(bare(work), tag)
		}
	}
	material := t.ask
	if len(t.uses) > 0 {
		material = t.sources()
	}
	return shaped(m.compose(t, material), tag)
}

// compose does what the instructions ask for first.
func (m Model) compose(t *turn, material string) string {
	if results := searchResults(material); len(results) > 0 {
		return answerFrom(material, results)
	}
	if do := t.skill(); do != nil {
		return do(t, material)
	}
	if fields := fieldsOf(t.system); fields != nil {
		return fillFields(t, fields, material)
	}
	return m.answer(t, material)
}

// skill is the one that is asked for first; nil for none.
func (t *turn) skill() (do func(*turn, string) string) {
	first := len(t.system)
	for _, s := range skills {
		if at := s.asked.FindStringIndex(t.system); at != nil && at[0] < first {
			first, do = at[0], s.do
		}
	}
	if fields := fieldsOf(t.system); len(fields) > 0 && first > 0 {
		if at := strings.Index(t.system, fields[0].name+":"); at >= 0 && at < first {
			return nil
		}
	}
	return do
}

var relays = regexp.MustCompile(`(?i)coordinat|orchestrat|supervis|unchanged|unmodified|do not (?:edit|modify|rewrite)|\breturn (?:only )?(?:the|its) (?:final )?(?:article|report|answer|result)`)

// failure is what a failed tool said, where the prompt says that errors are told.
func (t *turn) failure() string {
	if len(t.uses) == 0 || !onError.MatchString(t.system) {
		return ""
	}
	last := t.uses[len(t.uses)-1]
	if !last.failed {
		return ""
	}
	if last.result == "" {
		return fmt.Sprintf("Error: %s failed and did not say why.", last.tool)
	}
	return last.result
}

// work is what a team has made: the latest words of the tool whose work is reviewed, else of the last one.
func (t *turn) work() string {
	if maker, _, ok := t.pair(t.workflow()); ok {
		if text := t.latest(maker.tool); text != "" {
			return text
		}
	}
	for i := len(t.uses) - 1; i >= 0; i-- {
		if u := t.uses[i]; !u.lost() && u.result != "" {
			return u.result
		}
	}
	return ""
}
