// Transform: reads raw; publishes what is good to clean, and what is not, with the reason, to dead-letters.
//
//   etl_transform BUS
//
// It may be killed at any instruction and has no state of its own: each output and each dead letter carries the
// position of the record that it was made from, so the highest such position at the ends of both says where to go on. A
// record yields one output at most, hence there are no halves. One that was filtered leaves no trace; if the last
// records before the kill were such, they are read again and filtered again.
//
// Where raw has a sync policy, only what is durable is read from it, or a power loss could leave outputs of records
// that there are no more.
#include <algorithm>

#include "examples/etl/common.h"
#include "examples/etl/parse.h"

namespace etl {
namespace {

class Transform {
 public:
  explicit Transform(const std::string& path)
      : bus_(Must(libbus::Bus::Open(path))),
        raw_(OpenTopic(bus_, kRaw)),
        clean_topic_(OpenTopic(bus_, kClean)),
        dead_topic_(OpenTopic(bus_, kDeadLetters)),
        progress_topic_(OpenTopic(bus_, kProgress)),
        clean_(Must(clean_topic_.NewProducer({.name = "etl_transform"}))),
        dead_(Must(dead_topic_.NewProducer({.name = "etl_transform"}))),
        progress_(Must(progress_topic_.NewProducer({.name = "etl_transform"}))) {}

  void Run() {
    const std::optional<LastRecord> clean = FindLast(clean_topic_);
    if (clean && clean->type == kEndOfInput) return;
    const std::optional<LastRecord> dead = FindLast(dead_topic_);
    const std::optional<libbus::Position> source = std::max(SourceOf(clean), SourceOf(dead));
    TellStart(progress_, "transform", "resumes behind", source);

    libbus::Consumer consumer = Must(raw_.NewConsumer({.gaps = libbus::Gaps::kError, .limit = LimitOf(raw_)}));
    ReadDescription(Must(consumer.Next()));
    if (source) GoBehind(*source, consumer);
    while (Handle(Must(consumer.Next()))) {
    }
  }

 private:
  static std::optional<libbus::Position> SourceOf(const std::optional<LastRecord>& last) {
    return last ? last->source : std::nullopt;
  }

  static void GoBehind(libbus::Position source, libbus::Consumer& consumer) {
    Must(consumer.Seek(libbus::From::At(source)));
    Must(consumer.Next().status());
  }

  void ReadDescription(const libbus::RecordView& record) {
    const std::optional<Form> form = FormOf(record.key());
    if (record.type() != kDescription || !form) Die("raw: does not begin with a description: was etl_extract here?");
    parser_ = MakeParser(*form, record.text());
  }

  // False at the end of the input.
  bool Handle(const libbus::RecordView& record) {
    if (record.type() == kEndOfInput) {
      Must(clean_.Publish("", {.type = kEndOfInput, .source = record.position()}).status());
      return false;
    }
    const Outcome outcome = parser_->Parse(record.text());
    if (outcome.kind == Outcome::kOut) PublishClean(record, outcome);
    if (outcome.kind == Outcome::kDead) PutAside(record, outcome.reason);
    return true;
  }

  void PublishClean(const libbus::RecordView& record, const Outcome& outcome) {
    const std::vector<libbus::Header> headers = record.headers();
    Must(clean_
             .Publish(outcome.body, {.key = outcome.key,
                                     .headers = headers,
                                     .type = kRecord,
                                     .source = record.position(),
                                     .producer = record.producer(),
                                     .producer_sequence = record.producer_sequence()})
             .status());
  }

  // The record as it came, so that it can be mended and sent again.
  void PutAside(const libbus::RecordView& record, const std::string& reason) {
    std::vector<libbus::Header> headers = record.headers();
    headers.push_back({kReason, reason});
    Must(dead_
             .Publish(record.payload(), {.headers = headers,
                                         .type = kRecord,
                                         .source = record.position(),
                                         .producer = record.producer(),
                                         .producer_sequence = record.producer_sequence()})
             .status());
  }

  libbus::Bus bus_;
  libbus::Topic raw_, clean_topic_, dead_topic_, progress_topic_;
  libbus::Producer clean_, dead_, progress_;
  std::unique_ptr<Parser> parser_;
};

}  // namespace
}  // namespace etl

int main(int argc, char** argv) {
  if (argc != 2) etl::Die("usage: etl_transform BUS");
  etl::Transform(argv[1]).Run();
}
