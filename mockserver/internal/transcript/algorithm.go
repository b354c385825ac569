package transcript

import (
	"fmt"
	"strings"
)

// family is a kind of strategy.
type family int

const (
	buyAndHold family = iota
	crossover
	relativeStrength
	momentum
	meanReversion
	rebalancing
)

// strategy is what the prompts so far ask for. Zero members mean the usual value.
type strategy struct {
	known       bool // a prompt has been read
	family      family
	tickers     []string
	exponential bool   // EMA instead of SMA
	fast, slow  int    // days, of a crossover
	period      int    // days, of any other indicator
	low, high   int    // RSI levels
	every       string // date rule of a rebalance
	from, to    int    // years
	cash        int    // dollars
}

// complete fills in what nobody asked for.
func (s strategy) complete() strategy {
	if len(s.tickers) == 0 {
		s.tickers = []string{"SPY"}
	}
	usual := func(value *int, otherwise int) {
		if *value == 0 {
			*value = otherwise
		}
	}
	switch s.family {
	case crossover:
		if s.exponential {
			usual(&s.fast, 12)
			usual(&s.slow, 26)
		}
		usual(&s.fast, 50)
		usual(&s.slow, 200)
		s.fast = min(s.fast, maxPeriod-1)
		s.slow = max(min(s.slow, maxPeriod), s.fast+1)
	case relativeStrength:
		usual(&s.period, 14)
		usual(&s.low, 30)
		usual(&s.high, 70)
		if s.low >= s.high {
			s.low, s.high = 30, 70
		}
	case momentum:
		usual(&s.period, 90)
	case meanReversion:
		usual(&s.period, 20)
	case buyAndHold, rebalancing:
	}
	if s.every == "" {
		s.every = "month_start"
	}
	usual(&s.from, 2020)
	usual(&s.to, min(s.from+4, lastYear))
	usual(&s.cash, 100_000)
	return s
}

// assets is the tickers as prose.
func (s strategy) assets() string {
	last := len(s.tickers) - 1
	if last == 0 {
		return s.tickers[0]
	}
	return strings.Join(s.tickers[:last], ", ") + " and " + s.tickers[last]
}

// average is the name of the moving average.
func (s strategy) average() string {
	if s.exponential {
		return "EMA"
	}
	return "SMA"
}

// title names the strategy in a sentence, without its assets.
func (s strategy) title() string {
	switch s.family {
	case crossover:
		return fmt.Sprintf("%s(%d)/%s(%d) crossover", s.average(), s.fast, s.average(), s.slow)
	case relativeStrength:
		return fmt.Sprintf("RSI(%d)", s.period)
	case momentum:
		return fmt.Sprintf("ROC(%d) momentum", s.period)
	case meanReversion:
		return fmt.Sprintf("Bollinger Band(%d) mean reversion", s.period)
	case rebalancing:
		return "equal-weight rebalancing"
	case buyAndHold:
	}
	return "buy and hold"
}

// rule says in a sentence when the strategy trades.
func (s strategy) rule() string {
	switch s.family {
	case crossover:
		return fmt.Sprintf("It is long while the %d-day %s is above the %d-day %s and in cash otherwise.",
			s.fast, s.average(), s.slow, s.average())
	case relativeStrength:
		return fmt.Sprintf("It buys when RSI(%d) falls below %d and sells when it rises above %d.", s.period, s.low, s.high)
	case momentum:
		return fmt.Sprintf("At each rebalance it holds the assets with the highest positive %d-day rate of change.", s.period)
	case meanReversion:
		return fmt.Sprintf("It buys below the lower %d-day Bollinger Band and sells above the middle one.", s.period)
	case rebalancing:
		return "It brings every asset back to the same weight at each rebalance."
	case buyAndHold:
	}
	return "It invests the whole portfolio on the first day with data and holds."
}

// flaw is a mistake that an agent makes in its algorithm, the last statement of initialize.
type flaw string

const (
	noFlaw      flaw = ""
	unusedLocal flaw = "lookback = 20"
	missingData flaw = `self._fear = self.securities["VIX"].price`
)

// source writes the strategy as a LEAN algorithm in Python. It returns the line of the flaw too, counted from 1.
func (s strategy) source(mistake flaw) (code string, line int) {
	var b strings.Builder
	fmt.Fprintf(&b, `from AlgorithmImports import *


class %s(QCAlgorithm):

    def initialize(self) -> None:
        self.set_start_date(%d, 1, 1)
        self.set_end_date(%d, 12, 31)
        self.set_cash(%d)
        self.settings.automatic_indicator_warm_up = True
        self._symbols = [
            self.add_equity(ticker, Resolution.DAILY).symbol
            for ticker in [%s]
        ]
        self.set_benchmark(self._symbols[0])
`, classes[s.family], s.from, s.to, s.cash, `"`+strings.Join(s.tickers, `", "`)+`"`)
	s.writeIndicators(&b)
	if mistake != noFlaw {
		line = strings.Count(b.String(), "\n") + 1
		fmt.Fprintf(&b, "        %s\n", mistake)
	}
	b.WriteString(s.trading())
	return b.String(), line
}

var classes = map[family]string{
	buyAndHold:       "BuyAndHoldAlgorithm",
	crossover:        "MovingAverageCrossAlgorithm",
	relativeStrength: "RelativeStrengthIndexAlgorithm",
	momentum:         "MomentumAlgorithm",
	meanReversion:    "MeanReversionAlgorithm",
	rebalancing:      "EqualWeightAlgorithm",
}

// writeIndicators writes the end of initialize: what the strategy computes and when it is to act.
func (s strategy) writeIndicators(b *strings.Builder) {
	each := func(name, call string) {
		fmt.Fprintf(b, "        self.%s = {symbol: self.%s for symbol in self._symbols}\n", name, call)
	}
	switch s.family {
	case crossover:
		average := strings.ToLower(s.average())
		each("_fast", fmt.Sprintf("%s(symbol, %d, Resolution.DAILY)", average, s.fast))
		each("_slow", fmt.Sprintf("%s(symbol, %d, Resolution.DAILY)", average, s.slow))
	case relativeStrength:
		each("_rsi", fmt.Sprintf("rsi(symbol, %d, MovingAverageType.WILDERS, Resolution.DAILY)", s.period))
	case momentum:
		each("_roc", fmt.Sprintf("roc(symbol, %d, Resolution.DAILY)", s.period))
	case meanReversion:
		each("_bands", fmt.Sprintf("bb(symbol, %d, 2, MovingAverageType.SIMPLE, Resolution.DAILY)", s.period))
	case buyAndHold, rebalancing:
	}
	if s.family == momentum || s.family == rebalancing {
		fmt.Fprintf(b, `        self.schedule.on(
            self.date_rules.%s(self._symbols[0]),
            self.time_rules.after_market_open(self._symbols[0], 30),
            self._rebalance,
        )
`, s.every)
	}
}

// trading is the method in which the strategy acts.
func (s strategy) trading() string {
	const perSymbol = `
    def on_data(self, data: Slice) -> None:
        weight = 1 / len(self._symbols)
        for symbol in self._symbols:
            if symbol not in data.bars:
                continue
%s`
	switch s.family {
	case crossover:
		return fmt.Sprintf(perSymbol, `            fast, slow = self._fast[symbol], self._slow[symbol]
            if not slow.is_ready:
                continue
            invested = self.portfolio[symbol].invested
            if fast.current.value > slow.current.value and not invested:
                self.set_holdings(symbol, weight)
            elif fast.current.value < slow.current.value and invested:
                self.liquidate(symbol)
`)
	case relativeStrength:
		return fmt.Sprintf(perSymbol, fmt.Sprintf(`            rsi = self._rsi[symbol]
            if not rsi.is_ready:
                continue
            invested = self.portfolio[symbol].invested
            if rsi.current.value < %d and not invested:
                self.set_holdings(symbol, weight)
            elif rsi.current.value > %d and invested:
                self.liquidate(symbol)
`, s.low, s.high))
	case meanReversion:
		return fmt.Sprintf(perSymbol, `            bands, price = self._bands[symbol], data.bars[symbol].close
            if not bands.is_ready:
                continue
            invested = self.portfolio[symbol].invested
            if price < bands.lower_band.current.value and not invested:
                self.set_holdings(symbol, weight)
            elif price > bands.middle_band.current.value and invested:
                self.liquidate(symbol)
`)
	case momentum:
		return `
    def _rebalance(self) -> None:
        rising = [
            symbol for symbol in self._symbols
            if self._roc[symbol].is_ready and self._roc[symbol].current.value > 0
        ]
        rising.sort(key=lambda symbol: self._roc[symbol].current.value, reverse=True)
        chosen = rising[:max(1, len(self._symbols) // 2)]
        if not chosen:
            self.liquidate()
            return
        targets = [PortfolioTarget(symbol, 1 / len(chosen)) for symbol in chosen]
        self.set_holdings(targets, liquidate_existing_holdings=True)
`
	case rebalancing:
		return `
    def _rebalance(self) -> None:
        weight = 1 / len(self._symbols)
        self.set_holdings([PortfolioTarget(symbol, weight) for symbol in self._symbols])
`
	case buyAndHold:
	}
	return `
    def on_data(self, data: Slice) -> None:
        if self.portfolio.invested or any(symbol not in data.bars for symbol in self._symbols):
            return
        weight = 1 / len(self._symbols)
        self.set_holdings([PortfolioTarget(symbol, weight) for symbol in self._symbols])
`
}
