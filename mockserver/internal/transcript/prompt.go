package transcript

import (
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// What of a prompt is looked at, and what of it can get into an algorithm. Prompts are anybody's text: only tickers
// that isTicker let pass and numbers between fixed bounds are ever taken from one.
const (
	maxScan    = 4 << 10 // bytes of a prompt
	maxTickers = 10
	maxContext = 64 // prompts: the first and the last ones
	minPeriod  = 2
	maxPeriod  = 500
	firstYear  = 1998 // US equity data begins here
	lastYear   = 2024
)

// strategyFor reads the prompts in order, each as a change to what the ones before it asked for.
func strategyFor(prompts []string) strategy {
	var s strategy
	for i, prompt := range prompts {
		if i == 0 || i > len(prompts)-maxContext {
			s.follow(wordsOf(prompt))
		}
	}
	return s.complete()
}

// follow changes the strategy as a prompt asks.
func (s *strategy) follow(words []word) {
	text := joined(words)
	kind, ok := familyIn(text)
	if !ok && !s.known && mentions(text, "portfolio", "basket", "allocation") {
		// Later on these words speak of what is there: "add TLT to the portfolio".
		kind, ok = rebalancing, true
	}
	if ok && kind != s.family {
		*s = strategy{family: kind, tickers: s.tickers, every: s.every, from: s.from, to: s.to, cash: s.cash}
	}
	s.known = true
	switch {
	case mentions(text, "ema", "emas", "exponential", "macd"):
		s.exponential = true
	case mentions(text, "sma", "smas", "simple"):
		s.exponential = false
	}
	switch {
	case mentions(text, "rebalance daily", "rebalances daily", "rebalanced daily", "daily rebalancing", "every day"):
		s.every = "every_day"
	case mentions(text, "weekly", "every week", "each week"):
		s.every = "week_start"
	case mentions(text, "monthly", "every month", "each month"):
		s.every = "month_start"
	}
	s.takePeriods(periodsIn(words))
	s.takeLevels(words)
	s.takeYears(words)
	s.takeCash(words)
	s.takeTickers(words)
}

// familyIn finds the most specific kind of strategy that a text speaks of.
func familyIn(text string) (family, bool) {
	switch {
	case mentions(text, "rsi", "relative strength index"):
		return relativeStrength, true
	case mentions(text, "mean reversion", "mean reverting", "revert", "reverts", "bollinger", "bb"):
		return meanReversion, true
	case mentions(text, "moving average", "moving averages", "sma", "smas", "ema", "emas", "macd", "crossover",
		"crossovers", "cross over", "crosses", "golden cross", "death cross"):
		return crossover, true
	case mentions(text, "momentum", "roc", "rocp", "rate of change", "trend", "trend following"):
		return momentum, true
	case mentions(text, "rebalance", "rebalances", "rebalanced", "rebalancing", "equal weight", "equal weights",
		"equally weighted", "equal weighted", "equal weighting"):
		return rebalancing, true
	case mentions(text, "buy and hold", "buy hold", "buys and holds", "buy n hold"):
		return buyAndHold, true
	}
	return buyAndHold, false
}

func (s *strategy) takePeriods(periods []int) {
	if len(periods) == 0 {
		return
	}
	if s.family != crossover {
		s.period = periods[0]
		return
	}
	switch first := periods[0]; {
	case len(periods) > 1 && periods[1] != first:
		s.fast, s.slow = min(first, periods[1]), max(first, periods[1])
	case first >= 100:
		s.fast, s.slow = 50, first
	default:
		s.fast, s.slow = first, 4*first
	}
}

// takeLevels reads "below 30" and "above 70".
func (s *strategy) takeLevels(words []word) {
	for i := 1; i < len(words); i++ {
		level, ok := number(words[i].lower, 1, 99)
		if !ok || i+1 < len(words) && units[words[i+1].lower] != 0 {
			continue
		}
		switch words[i-1].lower {
		case "below", "under", "oversold":
			s.low = level
		case "above", "over", "overbought":
			s.high = level
		}
	}
}

// takeYears reads "since 2015" and "from 2015 to 2020".
func (s *strategy) takeYears(words []word) {
	for i := 1; i < len(words); i++ {
		year, ok := number(words[i].lower, firstYear, lastYear)
		if !ok {
			continue
		}
		switch words[i-1].lower {
		case "since", "from", "between", "starting", "start":
			s.from = year
		case "to", "until", "till", "through", "and":
			if s.from != 0 && year >= s.from {
				s.to = year
			}
		}
	}
	if s.from > s.to {
		s.to = 0
	}
}

// takeCash reads "$50000", "$50,000" and "$50k".
func (s *strategy) takeCash(words []word) {
	for i := range words {
		if !words[i].dollar {
			continue
		}
		digits, thousands := strings.CutSuffix(words[i].lower, "k")
		if thousands {
			digits += "000"
		}
		for j := i + 1; j < len(words) && words[j].comma && len(words[j].lower) == 3; j++ {
			digits += words[j].lower
		}
		if cash, ok := number(digits, 1_000, 1_000_000_000); ok {
			s.cash = cash
		}
	}
}

// takeTickers reads which assets to trade: "for SPY", "replace SPY with QQQ", which the documentation words as
// "Replace SPY for QQQ", "use QQQ instead of SPY", "add TLT", "without TSLA".
func (s *strategy) takeTickers(words []word) {
	const (
		plain = iota
		in
		out
	)
	var named, added, replaced, dropped []string
	mode, replacing, pending := plain, false, false
	loud := shouted(words)
	for i, w := range words {
		if ticker, ok := isTicker(w, loud); ok {
			switch {
			case isYardstick(words[:i]):
			case mode == out && replacing:
				replaced = insert(replaced, ticker)
				pending = true
			case mode == out:
				dropped = insert(dropped, ticker)
				pending = true
			case mode == in:
				added = insert(added, ticker)
			default:
				named = insert(named, ticker)
			}
			continue
		}
		switch w.lower {
		case "replace", "replacing", "swap", "substitute", "switch", "change", "exchange":
			mode, replacing, pending = out, true, false
		case "remove", "drop", "exclude", "excluding", "without", "except", "delete":
			mode, replacing, pending = out, false, false
		case "of", "than":
			if i > 0 && (words[i-1].lower == "instead" || words[i-1].lower == "rather" || words[i-1].lower == "place") {
				mode, replacing, pending = out, true, false
			}
		case "with", "for", "by", "to", "into":
			if mode == out && replacing && pending {
				mode = in
			}
		case "use", "trade", "try", "buy", "hold", "test":
			if mode == out && pending {
				mode = in
			}
		case "add", "adding", "include", "including", "also", "plus":
			mode = in
		}
	}

	tickers := named
	switch {
	case len(replaced) > 0 && len(named)+len(added) == 0:
		// Something about these assets is to be replaced, not they.
		if len(s.tickers) > 0 {
			tickers = s.tickers
		} else {
			tickers = replaced
		}
	case len(replaced) > 0:
		tickers = exchange(s.tickers, replaced, append(named, added...))
	case len(added) > 0 && len(named) == 0:
		tickers = insert(slices.Clone(s.tickers), added...)
	case len(added) > 0:
		tickers = insert(named, added...)
	case len(dropped) > 0 && len(named) == 0:
		tickers = slices.Clone(s.tickers)
	}
	tickers = slices.DeleteFunc(slices.Clone(tickers), func(t string) bool { return slices.Contains(dropped, t) })
	if len(tickers) > 0 {
		s.tickers = tickers
	}
}

// exchange puts incoming in the place of outgoing. An only asset gives way even when another one was named.
func exchange(held, outgoing, incoming []string) []string {
	var tickers []string
	done := false
	for _, ticker := range held {
		switch {
		case !slices.Contains(outgoing, ticker) && len(held) > 1:
			tickers = insert(tickers, ticker)
		case !done:
			tickers = insert(tickers, incoming...)
			done = true
		}
	}
	if !done {
		tickers = insert(tickers, incoming...)
	}
	return tickers
}

// insert adds the tickers that are not there yet, up to the limit.
func insert(tickers []string, more ...string) []string {
	for _, ticker := range more {
		if len(tickers) < maxTickers && !slices.Contains(tickers, ticker) {
			tickers = append(tickers, ticker)
		}
	}
	return tickers
}

// word is a run of letters and digits of a prompt.
type word struct {
	text, lower string
	dollar      bool // a dollar sign stands before it
	comma       bool // nothing but a comma stands between it and the word before
}

// wordsOf splits the beginning of a prompt into words.
func wordsOf(prompt string) []word {
	prompt = prompt[:min(len(prompt), maxScan)]
	var words []word
	start, end := -1, -1
	finish := func(at int) {
		if start < 0 {
			return
		}
		text := prompt[start:at]
		for _, genitive := range []string{"'s", "’s"} {
			text = strings.TrimSuffix(text, genitive)
		}
		words = append(words, word{
			text:   text,
			lower:  strings.ToLower(text),
			dollar: start > 0 && prompt[start-1] == '$',
			comma:  end >= 0 && start == end+1 && prompt[end] == ',',
		})
		start, end = -1, at
	}
	for i, r := range prompt {
		switch {
		case isWordRune(r):
			if start < 0 {
				start = i
			}
		case (r == '\'' || r == '’') && start >= 0:
		case r == '.' && start >= 0 && isShareClass(prompt[start:i], prompt[i+1:]):
		default:
			finish(i)
		}
	}
	finish(len(prompt))
	return words
}

// isWordRune says whether r belongs to a word. Scripts without case are written against tickers without a space.
func isWordRune(r rune) bool {
	return r == '_' || r >= '0' && r <= '9' || unicode.IsUpper(r) || unicode.IsLower(r)
}

// isShareClass says whether the point between two texts belongs to a ticker such as BRK.B.
func isShareClass(before, after string) bool {
	if !upperCase(before) || len(before) > 4 || after == "" || after[0] != 'A' && after[0] != 'B' {
		return false
	}
	return len(after) == 1 || strings.IndexByte(" \t\r\n,;:.!?)]}/'\"", after[1]) >= 0
}

// joined is the words in lower case with spaces around each, for mentions.
func joined(words []word) string {
	var b strings.Builder
	b.WriteByte(' ')
	for _, w := range words {
		b.WriteString(w.lower)
		b.WriteByte(' ')
	}
	return b.String()
}

// mentions says whether one of the phrases stands in a text made by joined.
func mentions(text string, phrases ...string) bool {
	return slices.ContainsFunc(phrases, func(phrase string) bool { return strings.Contains(text, " "+phrase+" ") })
}

// upperCase says whether s is capital ASCII letters and nothing else.
func upperCase(s string) bool {
	for i := range len(s) {
		if s[i] < 'A' || s[i] > 'Z' {
			return false
		}
	}
	return s != ""
}

// shouted says whether a prompt has no lower case, so that capitals mean nothing.
func shouted(words []word) bool {
	capitals := 0
	for _, w := range words {
		switch {
		case w.text != strings.ToUpper(w.text):
			return false
		case upperCase(w.text):
			capitals++
		}
	}
	return capitals > 4
}

// isTicker says which asset a word means, if any. What it returns is capital letters, with a share class at most.
func isTicker(w word, loud bool) (string, bool) {
	if ticker, ok := knownTickers[w.lower]; ok {
		return ticker, true
	}
	text := w.text
	if w.dollar {
		text = strings.ToUpper(text)
	}
	root, class, classed := strings.Cut(text, ".")
	if !upperCase(root) || len(root) > 5 || classed && class != "A" && class != "B" {
		return "", false
	}
	if w.dollar || classed {
		return text, true
	}
	if loud || len(root) == 1 || noTickers[w.lower] {
		return "", false
	}
	return text, true
}

// isYardstick says whether the words before an asset only compare with it.
func isYardstick(before []word) bool {
	for _, w := range before[max(0, len(before)-2):] {
		switch w.lower {
		case "against", "benchmark", "versus", "vs", "beat", "beats", "outperform", "outperforms":
			return true
		}
	}
	return false
}

// periodsIn finds lengths of time in days: ROC(30), "50 and 200 day", "12-month".
func periodsIn(words []word) []int {
	isNumber := func(i int) bool {
		return i >= 0 && i < len(words) && !words[i].dollar && numeral(words[i].lower)
	}
	unit := make([]int, len(words)) // days in the unit of the number at this place; 0 for what is no period
	for i := range words {
		if !isNumber(i) {
			continue
		}
		if i+1 < len(words) {
			unit[i] = units[words[i+1].lower]
		}
		for j := i - 1; unit[i] == 0 && j >= max(0, i-4); j-- {
			if indicators[words[j].lower] {
				unit[i] = 1
			} else if !fillers[words[j].lower] && !isNumber(j) {
				break
			}
		}
	}
	// "50 and 200 day": the first number has the unit of the second.
	for i := len(words) - 1; i >= 0; i-- {
		if unit[i] != 0 || !isNumber(i) {
			continue
		}
		next := i + 1
		if next < len(words) && (words[next].lower == "and" || words[next].lower == "to" || words[next].lower == "vs") {
			next++
		}
		if isNumber(next) {
			unit[i] = unit[next]
		}
	}
	var periods []int
	for i := range words {
		if unit[i] == 0 || len(periods) == 4 {
			continue
		}
		if n, ok := number(words[i].lower, 1, maxPeriod); ok {
			periods = append(periods, min(max(n*unit[i], minPeriod), maxPeriod))
		}
	}
	return periods
}

// numeral says whether s is ASCII digits, few enough to be a number here.
func numeral(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != "" && len(s) <= 10
}

// number is s as a number, if it is one between low and high.
func number(s string, low, high int) (int, bool) {
	if !numeral(s) {
		return 0, false
	}
	n, err := strconv.Atoi(s)
	return n, err == nil && n >= low && n <= high
}

func setOf(words string) map[string]bool {
	set := make(map[string]bool)
	for w := range strings.FieldsSeq(words) {
		set[w] = true
	}
	return set
}

var (
	units = map[string]int{
		"day": 1, "days": 1, "d": 1, "bar": 1, "bars": 1, "period": 1, "periods": 1,
		"week": 5, "weeks": 5, "month": 21, "months": 21, "year": 252, "years": 252,
	}

	indicators = setOf(`sma smas ema emas wma ma rsi roc rocp mom momentum bb bollinger bands average averages macd
		lookback window period length`)

	fillers = setOf("of with a an the and over for to is period length lookback window day")

	// knownTickers are recognized in any case. None is an English word.
	knownTickers = map[string]string{
		"spy": "SPY", "qqq": "QQQ", "iwm": "IWM", "dia": "DIA", "tlt": "TLT", "ief": "IEF", "gld": "GLD", "slv": "SLV",
		"uso": "USO", "vti": "VTI", "voo": "VOO", "vxus": "VXUS", "vnq": "VNQ", "agg": "AGG", "bnd": "BND", "efa": "EFA",
		"eem": "EEM", "hyg": "HYG", "lqd": "LQD", "tqqq": "TQQQ", "sqqq": "SQQQ", "upro": "UPRO", "ivv": "IVV",
		"xlk": "XLK", "xlf": "XLF", "xle": "XLE", "xlv": "XLV", "xli": "XLI", "xlu": "XLU", "xlp": "XLP", "xly": "XLY",
		"aapl": "AAPL", "msft": "MSFT", "nvda": "NVDA", "tsla": "TSLA", "amzn": "AMZN", "goog": "GOOG", "googl": "GOOGL",
		"nflx": "NFLX", "amd": "AMD", "intc": "INTC", "ibm": "IBM", "jpm": "JPM", "bac": "BAC", "xom": "XOM", "wmt": "WMT",
		"apple": "AAPL", "microsoft": "MSFT", "nvidia": "NVDA", "tesla": "TSLA", "amazon": "AMZN", "netflix": "NFLX",
	}

	// noTickers are words that people write in capitals and do not mean as an asset.
	noTickers = setOf(`
		a ai all alpha also am an and any api as at atr adx aum bb beta big buy by but can cagr call cash cci close cpi csv
		dca dd do done dont each ema emas end eod est etf etfs eur exit fed few fix fomc for from fx gap gbp gdp go good
		has have hft high hma hold html http https i id if im in into ipo is it its json jpy kama keep kpi lean less llm
		long loss low ma macd make many max mean md mdd min ml mom momp more most must mtd mvp nb new next nlp no none not
		now nyse obv of off ohlc ohlcv ok on once one only oos open or otc out over p pca pct pdf per pnl pls pm prev ps put
		py qc qcc rest risk roc rocp roe roi rsi rules run safe sar sec sell set short sl sma smas so some sql stay stop
		sum svm take tbd tema test text than that the them then they this time to todo top tp try two txt ui up url us usa
		usd use utc vix vol vs vwap want was we what when will with wma work xml yaml year yes yoy you your ytd amex dema
		ftse etc faq html nan null true false dow spx ndx rut faang eps reit reits nav iv dte otm itm atm eu uk`)
)
