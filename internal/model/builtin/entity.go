package builtin

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// The kinds of what has a name.
const (
	kindPerson       = "PERSON"
	kindOrganization = "ORGANIZATION"
	kindProduct      = "PRODUCT"
	kindPlace        = "PLACE"
	kindDate         = "DATE"
	kindAmount       = "AMOUNT"
)

// entity is what a text names, as the text has it.
type entity struct {
	text, kind string
	role       string  // what the text says it is
	confidence float64 // that the kind is right
}

const maxEntities = 64 // of a text

// entitiesIn finds names by how they are written and by what stands beside them. What is written in
// capitals for another reason (a title, a month, the first word of a sentence) is none.
func entitiesIn(text string) (out []entity) {
	known := map[string]int{}
	for _, s := range sentences(text) {
		if len(out) >= maxEntities {
			break
		}
		for _, n := range runsIn(s) {
			n.text = strings.TrimSpace(n.text)
			at, seen := known[strings.Join(words(n.text), " ")]
			switch {
			case n.text == "" || len(out) >= maxEntities:
			case !seen:
				known[strings.Join(words(n.text), " ")] = len(out)
				out = append(out, n)
			case n.confidence > out[at].confidence:
				n.text = out[at].text
				out[at] = n
			}
		}
	}
	return withoutParts(out)
}

// withoutParts drops a name that is the last or first word of a longer one of the same text: "Chen" beside
// "Dr. Eliza Chen", "NeuraHealth" beside "NeuraHealth Solutions".
func withoutParts(all []entity) []entity {
	return slices.DeleteFunc(slices.Clone(all), func(e entity) bool {
		return slices.ContainsFunc(all, func(o entity) bool {
			a, b := plain(e.text), plain(bareName(o.text))
			short := a == plain(bareName(o.text)) && o.text != e.text && len(e.text) < len(o.text)
			return short || len(a) < len(b) && o.kind != kindPlace && !strings.Contains(e.text, " ") && (strings.HasPrefix(b, a) || strings.HasSuffix(b, a))
		})
	})
}

var honorific = regexp.MustCompile(`^(?:Dr|Mr|Mrs|Ms|Prof|Professor|Sir|Dame|Mayor|Judge|Senator)\b\.? `)

// bareName is a name without what it is addressed with.
func bareName(name string) string { return honorific.ReplaceAllString(name, "") }

var run = regexp.MustCompile(`(?:(?:Dr|Mr|Mrs|Ms|Prof)\. )?\p{Lu}[\p{L}\p{N}’'-]*(?:,? (?:Inc|Corp|Ltd|LLC|Co)\b\.?| (?:&|\p{Lu}\.) ?| (?:of (?:the )?|for (?:the )?|de |van |von )?\p{Lu}[\p{L}\p{N}’'-]*)*`)

const beside = 120 // bytes before and after a name that say what it is

// runsIn finds the names of one sentence.
func runsIn(s string) (out []entity) {
	for _, at := range run.FindAllStringIndex(s, 4*maxEntities) {
		before, name, after := s[max(0, at[0]-beside):at[0]], strings.TrimRight(s[at[0]:at[1]], " ’'-&"), s[at[1]:min(len(s), at[1]+beside)]
		name = strings.TrimSuffix(strings.TrimSuffix(name, "'s"), "’s")
		first := at[0] < beside && strings.Trim(before, " \t*#>-\"“'(") == "" || strings.HasSuffix(strings.TrimRight(before, " "), ":")
		role, name := cutTitles(name)
		for _, part := range strings.Split(name, "\x00") {
			if e, ok := weighed(before, strings.TrimSpace(part), after, first); ok {
				if e.role == "" && e.kind == kindPerson {
					e.role = role
				}
				out = append(out, e)
			}
			first = false
		}
	}
	return out
}

var (
	title      = regexp.MustCompile(`\b(?:(?:Senior |Executive |Deputy |Vice |Assistant |Acting |Chief |Former )*(?:(?:Chief|Vice|Managing|Executive)(?: \p{Lu}\p{L}+)? (?:Officer|President|Director|Executive|Editor)|CEO|CTO|CFO|CMO|COO|CIO|CISO|SVP|EVP|VP|President|Director|Chairman|Chairwoman|Chair|Minister|Secretary|Mayor|Senator|Professor|Judge|Manager|Engineer|Head|Chief Executive)\b)(?: (?:of|for) (?:` + department + `)(?: (?:` + department + `))*)?`)
	department = `Product|Development|Retail|Sales|Marketing|Engineering|Research|Operations|Finance|Communications|Security|Staff|Technology|Design|Science|Growth|Legal|Policy|State|Health`
)

// cutTitles takes titles out of a run of capitals, and cuts it where they stood.
func cutTitles(name string) (role, rest string) {
	role = title.FindString(name)
	rest = title.ReplaceAllString(name, "\x00")
	if role != "" { // "Professor A of the B", "Chief Executive of B"
		rest = strings.NewReplacer(" of the ", "\x00", " of ", "\x00").Replace(rest)
	}
	return role, rest
}

var (
	never = setOf(`january february march april may june july august september october november december monday tuesday wednesday thursday
friday saturday sunday today yesterday tomorrow instead nobody everybody everyone somebody however meanwhile according while although
since initial early late many most several two three four five six seven eight nine ten first second third new entities facts research
article output format verdict error warning info debug critical high low medium summary headline customers users people patients staff
add find give show tell list write make use check look please thanks hello hi dear yes ok what's it's there's i'm`)
	corporate  = regexp.MustCompile(`(?i)\b(?:inc|corp|corporation|llc|ltd|co|company|solutions|bank|lines|power|university|institute|hospitals?|clinic|trust|alliance|insurance|agency|group|systems|technologies|labs?|laboratories|foundation|association|ministry|department|council|union|partners|health|healthcare|society|commission|authority|committee|bureau|directorate|college|school|yard|motors|airlines|airways|energy|media|press|times|ledger|network|networks|capital|holdings|ventures|industries|pharma|pharmaceuticals|computing|software|electronics|federation|court|police|team)\b`)
	speaks     = regexp.MustCompile(`^"?,? (?:also |later )?(?:said|says|told|stated|confirmed|revealed|added|explained|wrote|praised|joined|argued|warned|noted|who\b)`)
	titled     = regexp.MustCompile(`^, (?:the |its |a |an )?(?:former )?(` + titleStart + `[^,.;"]{0,80})`)
	titleStart = `(?:Chief|Head|President|Vice|Senior|Director|CEO|CTO|CFO|Mayor|Minister|Professor|Chair|Manager|spokes\p{L}+|head|director|president|chief|professor|engineer|analyst)`
	spoken     = regexp.MustCompile(`(?:said|says|told|added|explained|by|colleague|founder|chief|professor|mayor|doctor|named after) $`)
	makes      = regexp.MustCompile(`^ (?:announced|launched|acquired|unveiled|reported|released|closes?|bought|built|raised|hired|sells?|makes?|employs?|opened|introduced|called the)\b`)
	thing      = regexp.MustCompile(`^"?,? (?:an?|the|its) (?:\p{Ll}[\p{L}-]* ){0,4}?(?:assistant|platform|system|device|app|application|tool|product|ferry|ship|car|drug|engine|service|software|model|robot|game|film|phone|chip|vehicle|rocket|satellite)\b`)
	kindAfter  = regexp.MustCompile(`^"? (?:solar park|park|platform|system|device|app|tool|assistant|engine|software|ferry)\b`)
	called     = regexp.MustCompile(`(?:called|named|dubbed|announced|launched|unveiled|introduced|released|run the|its new \p{L}+) "?“?$`)
	where      = regexp.MustCompile(`(?:\b[Ii]n|\b[Aa]t|\b[Nn]ear|\b[Ff]rom|\b[Bb]etween|\b[Tt]owards?|\bcity of|\btown of|\bEast of|\beast of|\bwest of|\bnorth of|\bsouth of) (?:the )?$`)
	pairOf     = regexp.MustCompile(`\bbetween \p{Lu}[\p{L} ]+ and $`)
	bodyOf     = regexp.MustCompile(`(?:group|company|firm|bank|agency|maker|start-?up|union|body|association) $`)
)

// weighed decides whether a run of capitals is a name, and of what.
func weighed(before, name, after string, first bool) (entity, bool) {
	name = dropFirst(name, first)
	lower := strings.ToLower(name)
	if len([]rune(name)) < 2 || never[lower] || common[lower] || len(name) > 120 {
		return entity{}, false
	}
	single := !strings.Contains(name, " ")
	e := entity{text: name}
	switch {
	case honorific.MatchString(name):
		e.kind, e.confidence = kindPerson, 0.98
	case corporate.MatchString(name):
		e.kind, e.confidence = kindOrganization, 0.95
	case titled.MatchString(after):
		e.kind, e.confidence = kindPerson, 0.95
		e.role = strings.TrimSpace(titled.FindStringSubmatch(after)[1])
	case thing.MatchString(after), called.MatchString(before), kindAfter.MatchString(after):
		e.kind, e.confidence = kindProduct, 0.9
	case !single && (speaks.MatchString(after) || spoken.MatchString(before)):
		e.kind, e.confidence = kindPerson, 0.9
	case where.MatchString(before), pairOf.MatchString(before):
		e.kind, e.confidence = kindPlace, 0.7
	case bodyOf.MatchString(before), makes.MatchString(after):
		e.kind, e.confidence = kindOrganization, 0.85
	case single && innerUpper(name):
		e.kind, e.confidence = kindProduct, 0.75
		if strings.ToUpper(name) == name {
			e.kind, e.confidence = kindOrganization, 0.6
		}
	case single && first:
		return entity{}, false
	case !single && len(strings.Fields(name)) <= 3:
		e.kind, e.confidence = kindPerson, 0.6
	default:
		e.kind, e.confidence = kindProduct, 0.5
	}
	return e, true
}

// dropFirst takes off a first word that only begins the sentence.
func dropFirst(name string, first bool) string {
	head, rest, more := strings.Cut(name, " ")
	lower := strings.ToLower(head)
	if more && (common[lower] || never[lower]) && (first || lower == "the") {
		return dropFirst(strings.TrimPrefix(strings.TrimPrefix(rest, "of the "), "of "), first)
	}
	return name
}

// innerUpper reports whether there are capitals inside a word, as names of products have.
func innerUpper(name string) bool {
	for i, r := range name {
		if i > 0 && unicode.IsUpper(r) {
			return true
		}
	}
	return false
}

var (
	dates   = regexp.MustCompile(`\b(?:(?:\d{1,2} )?(?:January|February|March|April|May|June|July|August|September|October|November|December)(?: \d{1,2})?(?:,? \d{4})?|\d{4}-\d{2}-\d{2}|(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day|(?:19|20)\d{2})\b`)
	amounts = regexp.MustCompile(`(?:[$€£]\s?)?\d+(?:[.,]\d+)*(?:\s?%|\s(?:percent|per cent|million|billion|thousand|dollars|euros|[\p{Ll}]{3,}))?`)
)

// figuresIn finds dates and amounts.
func figuresIn(text string) (out []entity) {
	add := func(kind string, found []string) {
		for _, s := range found {
			e := entity{text: s, kind: kind, confidence: 0.9}
			if len(out) < maxEntities && !slices.Contains(out, e) {
				out = append(out, e)
			}
		}
	}
	add(kindDate, dates.FindAllString(text, maxEntities))
	add(kindAmount, amounts.FindAllString(text, maxEntities))
	return out
}
