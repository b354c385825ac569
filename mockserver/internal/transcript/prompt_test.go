package transcript

import (
	"reflect"
	"strings"
	"testing"
)

func TestTickers(t *testing.T) {
	hold := "Build a buy and hold strategy for SPY"
	for _, test := range []struct {
		prompts []string
		want    string
	}{
		{nil, "SPY"},
		{[]string{""}, "SPY"},
		{[]string{hold}, "SPY"},
		{[]string{hold, "Replace SPY for QQQ"}, "QQQ"},
		{[]string{hold, "replace spy with qqq"}, "QQQ"},
		{[]string{hold, "Use QQQ instead of SPY"}, "QQQ"},
		{[]string{hold, "Instead of SPY, use QQQ."}, "QQQ"},
		{[]string{hold, "Use QQQ instead"}, "QQQ"},
		{[]string{hold, "Switch from SPY to QQQ and IWM"}, "QQQ IWM"},
		{[]string{hold, "Change SPY's weight to half"}, "SPY"},
		{[]string{hold, "Replace DIA for QQQ"}, "QQQ"},
		{[]string{hold, "Add TLT and GLD"}, "SPY TLT GLD"},
		{[]string{hold, "Add TLT to the portfolio", "Replace SPY for QQQ"}, "QQQ TLT"},
		{[]string{hold, "Remove SPY"}, "SPY"},
		{[]string{hold, "Add TLT", "Drop SPY"}, "TLT"},
		{[]string{hold, "Test with ROC(30)"}, "SPY"},
		{[]string{hold, "Thank you, that is ALL I need. OK?"}, "SPY"},
		{[]string{hold, "Compare it against QQQ"}, "SPY"},
		{[]string{"Trade AAPL, MSFT and ABNB, without TSLA"}, "AAPL MSFT ABNB"},
		{[]string{"Buy BRK.B and BF.A. A simple plan."}, "BRK.B BF.A"},
		{[]string{"Buy $f and $ko with $50k"}, "F KO"},
		{[]string{"Switch between SPY and TLT by momentum"}, "SPY TLT"},
		{[]string{"An EMA crossover in Apple stock, RSI filter, USD, NYSE hours"}, "AAPL"},
		{[]string{"BUILD A MOMENTUM STRATEGY FOR QQQ PLEASE"}, "QQQ"},
		{[]string{"买入QQQ并持有"}, "QQQ"},
		{[]string{"“QQQ”, not spying on “IWM’s” friend"}, "QQQ IWM"},
		{[]string{"TOOLONG MY_VAR A1B2 ÄSPYÖ don't"}, "SPY"},
		{[]string{"AAA BBB CCC DDD EEE FFF GGG HHH III JJJ KKK LLL are ten at most"}, "AAA BBB CCC DDD EEE FFF GGG HHH III JJJ"},
		{[]string{"Hold SPY [mock:runtime-error]"}, "SPY"},
		{append([]string{"Hold QQQ"}, make([]string, 1000)...), "QQQ"},
	} {
		if got := strings.Join(strategyFor(test.prompts).tickers, " "); got != test.want {
			t.Errorf("%.200q trades %s, want %s", test.prompts, got, test.want)
		}
	}
}

func TestStrategies(t *testing.T) {
	for _, test := range []struct {
		prompts []string
		want    string
	}{
		{[]string{"Do something clever across the threshold of demand"}, "buy and hold"},
		{[]string{"Buy & hold SPY"}, "buy and hold"},
		{[]string{"Moving average crossover"}, "SMA(50)/SMA(200) crossover"},
		{[]string{"SMA(20) crosses above SMA(100)"}, "SMA(20)/SMA(100) crossover"},
		{[]string{"Cross the 200 and 50-day moving averages"}, "SMA(50)/SMA(200) crossover"},
		{[]string{"Trade the 20/60 day SMA"}, "SMA(20)/SMA(60) crossover"},
		{[]string{"EMA 12/26"}, "EMA(12)/EMA(26) crossover"},
		{[]string{"A MACD strategy"}, "EMA(12)/EMA(26) crossover"},
		{[]string{"Above the 200-day moving average"}, "SMA(50)/SMA(200) crossover"},
		{[]string{"SMA(10)"}, "SMA(10)/SMA(40) crossover"},
		{[]string{"SMA(499) over SMA(500)"}, "SMA(499)/SMA(500) crossover"},
		{[]string{"RSI"}, "RSI(14)"},
		{[]string{"Buy when RSI(2) is below 10"}, "RSI(2)"},
		{[]string{"Momentum"}, "ROC(90) momentum"},
		{[]string{"12-month momentum"}, "ROC(252) momentum"},
		{[]string{"ROC(0)"}, "ROC(90) momentum"},
		{[]string{"ROC(1)"}, "ROC(2) momentum"},
		{[]string{"ROC(99999999999999999999)"}, "ROC(90) momentum"},
		{[]string{"Mean reversion"}, "Bollinger Band(20) mean reversion"},
		{[]string{"Bollinger bands with a period of 30"}, "Bollinger Band(30) mean reversion"},
		{[]string{"A portfolio of SPY and TLT"}, "equal-weight rebalancing"},
		{[]string{"Rebalance SPY and TLT every week"}, "equal-weight rebalancing"},
		{[]string{"Hold SPY", "Test with ROC(30)"}, "ROC(30) momentum"},
		{[]string{"RSI(7)", "Add TLT to the portfolio"}, "RSI(7)"},
		{[]string{"RSI(7)", "Test with ROC(30)", "Now with 60 days"}, "ROC(60) momentum"},
		{[]string{"RSI(7)", "Test with ROC(30)", "Back to RSI"}, "RSI(14)"},
	} {
		if got := strategyFor(test.prompts).title(); got != test.want {
			t.Errorf("%q is %s, want %s", test.prompts, got, test.want)
		}
	}
}

func TestParameters(t *testing.T) {
	for _, test := range []struct {
		prompt string
		want   strategy
	}{
		{"RSI below 25 and above 80", strategy{low: 25, high: 80, from: 2020, to: 2024, cash: 100_000, every: "month_start"}},
		{"RSI below 80 and above 20", strategy{low: 30, high: 70, from: 2020, to: 2024, cash: 100_000, every: "month_start"}},
		{"RSI over 14 days, oversold 20", strategy{low: 20, high: 70, from: 2020, to: 2024, cash: 100_000, every: "month_start"}},
		{"Hold SPY from 2010 to 2020 with $1,000,000", strategy{from: 2010, to: 2020, cash: 1_000_000, every: "month_start"}},
		{"Hold SPY since 2022 with $25k", strategy{from: 2022, to: 2024, cash: 25_000, every: "month_start"}},
		{"Hold SPY since 1776 with $1", strategy{from: 2020, to: 2024, cash: 100_000, every: "month_start"}},
		{"Weekly rebalancing, since 2015", strategy{from: 2015, to: 2019, cash: 100_000, every: "week_start"}},
		{"Rebalance daily", strategy{from: 2020, to: 2024, cash: 100_000, every: "every_day"}},
	} {
		got := strategyFor([]string{test.prompt})
		got = strategy{low: got.low, high: got.high, from: got.from, to: got.to, cash: got.cash, every: got.every}
		if !reflect.DeepEqual(got, test.want) {
			t.Errorf("%q gives %+v, want %+v", test.prompt, got, test.want)
		}
	}
}
