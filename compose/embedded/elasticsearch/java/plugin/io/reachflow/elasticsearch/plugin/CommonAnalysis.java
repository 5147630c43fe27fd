package io.reachflow.elasticsearch.plugin;

import java.util.List;
import java.util.Map;
import java.util.function.BiFunction;
import java.util.function.Function;
import java.util.function.IntPredicate;
import org.apache.lucene.analysis.TokenStream;
import org.apache.lucene.analysis.Tokenizer;
import org.apache.lucene.analysis.core.KeywordTokenizer;
import org.apache.lucene.analysis.core.WhitespaceTokenizer;
import org.apache.lucene.analysis.miscellaneous.ASCIIFoldingFilter;
import org.apache.lucene.analysis.ngram.EdgeNGramTokenFilter;
import org.apache.lucene.analysis.ngram.EdgeNGramTokenizer;
import org.apache.lucene.analysis.ngram.NGramTokenFilter;
import org.apache.lucene.analysis.ngram.NGramTokenizer;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.index.analysis.AbstractTokenFilterFactory;
import org.elasticsearch.index.analysis.PreConfiguredTokenFilter;
import org.elasticsearch.index.analysis.PreConfiguredTokenizer;
import org.elasticsearch.index.analysis.TokenFilterFactory;
import org.elasticsearch.index.analysis.TokenizerFactory;
import org.elasticsearch.indices.analysis.AnalysisModule.AnalysisProvider;
import org.elasticsearch.plugins.AnalysisPlugin;

/**
 * Lucene's n-gram, keyword, whitespace and ASCII-folding parts under the names and settings that the
 * distribution's common analysis module gives them.
 */
final class CommonAnalysis {
  private CommonAnalysis() {}

  static Map<String, AnalysisProvider<TokenFilterFactory>> tokenFilters() {
    return Map.of(
        "ngram", AnalysisPlugin.requiresAnalysisSettings(filter((in, settings) ->
            new NGramTokenFilter(in, minGram(settings), maxGram(settings), preserve(settings)))),
        "edge_ngram", AnalysisPlugin.requiresAnalysisSettings(filter((in, settings) ->
            new EdgeNGramTokenFilter(in, minGram(settings), maxGram(settings), preserve(settings)))),
        "asciifolding", filter((in, settings) -> new ASCIIFoldingFilter(in, preserve(settings))));
  }

  static Map<String, AnalysisProvider<TokenizerFactory>> tokenizers() {
    return Map.of(
        "ngram", AnalysisPlugin.requiresAnalysisSettings(tokenizer(CommonAnalysis::ngramTokenizer)),
        "edge_ngram", AnalysisPlugin.requiresAnalysisSettings(tokenizer(CommonAnalysis::edgeNgramTokenizer)),
        "keyword", tokenizer(settings -> new KeywordTokenizer()),
        "whitespace", tokenizer(settings -> new WhitespaceTokenizer()));
  }

  static List<PreConfiguredTokenFilter> preConfiguredTokenFilters() {
    return List.of(PreConfiguredTokenFilter.singleton("asciifolding", true, ASCIIFoldingFilter::new));
  }

  static List<PreConfiguredTokenizer> preConfiguredTokenizers() {
    return List.of(
        PreConfiguredTokenizer.singleton("keyword", KeywordTokenizer::new),
        PreConfiguredTokenizer.singleton("whitespace", WhitespaceTokenizer::new));
  }

  private static AnalysisProvider<TokenFilterFactory> filter(
      BiFunction<TokenStream, Settings, TokenStream> create) {
    return (index, environment, name, settings) -> new AbstractTokenFilterFactory(name) {
      @Override
      public TokenStream create(TokenStream in) {
        return create.apply(in, settings);
      }
    };
  }

  private static AnalysisProvider<TokenizerFactory> tokenizer(Function<Settings, Tokenizer> create) {
    return (index, environment, name, settings) ->
        TokenizerFactory.newFactory(name, () -> create.apply(settings));
  }

  private static Tokenizer ngramTokenizer(Settings settings) {
    IntPredicate accepted = tokenChars(settings);
    return new NGramTokenizer(minGram(settings), maxGram(settings)) {
      @Override
      protected boolean isTokenChar(int character) {
        return accepted.test(character);
      }
    };
  }

  private static Tokenizer edgeNgramTokenizer(Settings settings) {
    IntPredicate accepted = tokenChars(settings);
    return new EdgeNGramTokenizer(minGram(settings), maxGram(settings)) {
      @Override
      protected boolean isTokenChar(int character) {
        return accepted.test(character);
      }
    };
  }

  /** The {@code token_chars} setting; every character when it is absent. */
  private static IntPredicate tokenChars(Settings settings) {
    List<String> classes = settings.getAsList("token_chars");
    if (classes.isEmpty()) {
      return character -> true;
    }
    IntPredicate accepted = character -> false;
    for (String name : classes) {
      accepted = accepted.or(switch (name) {
        case "letter" -> Character::isLetter;
        case "digit" -> Character::isDigit;
        case "whitespace" -> Character::isWhitespace;
        default -> throw new IllegalArgumentException("Unknown token_chars class: " + name);
      });
    }
    return accepted;
  }

  private static int minGram(Settings settings) {
    return settings.getAsInt("min_gram", 1);
  }

  private static int maxGram(Settings settings) {
    return settings.getAsInt("max_gram", 2);
  }

  private static boolean preserve(Settings settings) {
    return settings.getAsBoolean("preserve_original", false);
  }
}
