"""Tells the mood of a text."""

from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

# Reads a lexicon of 7,500 words: once, at deploy.
analyzer = SentimentIntensityAnalyzer()


def lambda_handler(event, context):
    """Answers with scores of `text`: how negative, neutral and positive it is, and all together from -1 to 1."""
    text = event.get("text")
    if not isinstance(text, str):
        raise TypeError('"text" must be a text.')
    scores = analyzer.polarity_scores(text)
    compound = scores["compound"]
    mood = "positive" if compound >= 0.05 else "negative" if compound <= -0.05 else "neutral"
    return {"mood": mood, "scores": scores}
