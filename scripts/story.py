"""Prints a story of the newsroom as people read it: story.py FILE."""

import json
import sys

story = json.load(open(sys.argv[1]))
print("\n" + story["article"])
print("\nSources")
seen = []
for entity in story["entities"]:
    for e in entity["evidence"]:
        if (e["source"], e["chunk"]) not in seen:
            seen.append((e["source"], e["chunk"]))
for source, chunk in sorted(seen):
    print(f"  {source.rpartition('/')[2]} ({chunk})")
print("\nKnown")
for entity in story["entities"]:
    print(f"  {entity['text']}, confidence {entity['confidence']:.2f}")
print("\nDiscarded")
for d in story["discarded"]:
    print(f"  {d['text']}: {d['reason']}")
usage = story["usage"]
print(f"\n{usage['modelCalls']} calls of the built-in demo model, {usage['inputTokens'] + usage['outputTokens']} tokens; reviews: {', '.join(r['verdict'] for r in story['reviews'])}")
