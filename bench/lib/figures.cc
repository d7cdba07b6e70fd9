#include "bench/lib/figures.h"

#include <algorithm>
#include <array>
#include <functional>

namespace libbus::bench {
namespace {

constexpr std::string_view kSubject = "libbus";

std::vector<Sample> At(const std::vector<Sample>& samples, std::optional<Distance> distance) {
  std::vector<Sample> found;
  std::copy_if(samples.begin(), samples.end(), std::back_inserter(found),
               [&](const Sample& sample) { return !distance || sample.travel.distance == *distance; });
  return found;
}

std::vector<double> Values(const std::vector<Sample>& samples, double Sample::*field) {
  std::vector<double> values;
  values.reserve(samples.size());
  for (const Sample& sample : samples) values.push_back(sample.*field);
  return values;
}

size_t RoundsAt(const ContenderResult& contender, Distance distance) {
  return At(contender.unpaced, distance).size() + At(contender.paced, distance).size();
}

double RatioOf(const std::vector<Sample>& ours, const std::vector<Sample>& theirs, double Sample::*field) {
  std::vector<double> ratios;
  for (const Sample& one : ours) {
    const auto same = [&](const Sample& other) { return other.round == one.round; };
    const auto other = std::find_if(theirs.begin(), theirs.end(), same);
    if (other != theirs.end()) ratios.push_back(one.*field / *other.*field);
  }
  if (ratios.empty()) return Median(Values(ours, field)) / Median(Values(theirs, field));
  return Median(std::move(ratios));
}

}  // namespace

Figures FiguresOf(const ContenderResult& contender, std::optional<Distance> distance) {
  Figures figures;
  const auto unpaced = At(contender.unpaced, distance);
  const auto paced = At(contender.paced, distance);
  figures.rounds = unpaced.empty() ? paced.size() : unpaced.size();
  if (!unpaced.empty()) {
    const auto undisturbed = Values(unpaced, &Sample::undisturbed);
    const auto rates = Values(unpaced, &Sample::rate);
    const auto bounds = std::minmax_element(undisturbed.begin(), undisturbed.end());
    const auto ends = std::minmax_element(rates.begin(), rates.end());
    figures.undisturbed = Median(undisturbed);
    figures.undisturbed_lowest = *bounds.first;
    figures.undisturbed_highest = *bounds.second;
    figures.rate = Median(rates);
    figures.lowest = *ends.first;
    figures.highest = *ends.second;
  }
  std::vector<Latency> latencies;
  latencies.reserve(paced.size());
  for (const Sample& sample : paced) latencies.push_back(sample.latency);
  if (!latencies.empty()) figures.latency = Combine(latencies);
  return figures;
}

std::vector<Distance> DistancesOf(const CaseResult& result) {
  const ContenderResult& subject = result.Of(kSubject);
  std::vector<Distance> found;
  for (const Distance one : {Distance::kNear, Distance::kFar, Distance::kOne}) {
    if (RoundsAt(subject, one) > 0) found.push_back(one);
  }
  std::stable_sort(found.begin(), found.end(),
                   [&](Distance a, Distance b) { return RoundsAt(subject, a) > RoundsAt(subject, b); });
  return found;
}

uint64_t TravelOf(const CaseResult& result, Distance distance) {
  std::vector<uint64_t> ways;
  for (const ContenderResult& contender : result.contenders) {
    for (const auto* samples : {&contender.unpaced, &contender.paced}) {
      for (const Sample& sample : At(*samples, distance)) ways.push_back(sample.travel.ns);
    }
  }
  return ways.empty() ? 0 : Median(std::move(ways));
}

std::optional<Ratio> RatioTo(const CaseResult& result, std::string_view other, std::optional<Distance> distance) {
  const auto ours = At(result.Of(kSubject).unpaced, distance);
  const auto theirs = At(result.Of(other).unpaced, distance);
  if (ours.empty() || theirs.empty()) return std::nullopt;
  return Ratio{RatioOf(ours, theirs, &Sample::undisturbed), RatioOf(ours, theirs, &Sample::rate)};
}

const ContenderResult* BestOf(const CaseResult& result, Kind kind, Distance distance) {
  const ContenderResult* best = nullptr;
  double highest = 0;
  for (const ContenderResult& one : result.contenders) {
    const Figures figures = FiguresOf(one, distance);
    if (one.kind != kind || figures.undisturbed <= highest) continue;
    highest = figures.undisturbed;
    best = &one;
  }
  return best;
}

const ContenderResult* QuickestOf(const CaseResult& result, Kind kind, Distance distance) {
  const ContenderResult* best = nullptr;
  uint64_t least = ~uint64_t{0};
  for (const ContenderResult& one : result.contenders) {
    const Figures figures = FiguresOf(one, distance);
    if (one.kind != kind || !figures.latency || figures.latency->p50_ns >= least) continue;
    least = figures.latency->p50_ns;
    best = &one;
  }
  return best;
}

}  // namespace libbus::bench
