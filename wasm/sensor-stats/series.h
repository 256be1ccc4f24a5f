/* Statistics of a series of numbers, two at a time where the machine's vectors allow it. */
#ifndef SERIES_H
#define SERIES_H
#include <stddef.h>

double series_mean(const double *values, size_t count);
/* Sum of (value - mean)^2. */
double series_deviation_squares(const double *values, size_t count, double mean);
void series_range(const double *values, size_t count, double *min, double *max);
/* into[i] = |values[i] - centre| */
void series_distances(const double *values, size_t count, double centre, double *into);
/* Sum of (a - a_mean) * (b - b_mean). */
double series_products(const double *a, double a_mean, const double *b, double b_mean, size_t count);
/* In place; `spare` has room for as many. Linear in time, whatever the values. */
void series_sort(double *values, double *spare, size_t count);
/* By linear interpolation between the two nearest of the sorted values. */
double series_quantile(const double *sorted, size_t count, double q);
/* How many pairs i < j have values[i] > values[j], which are left sorted. */
double series_inversions(double *values, double *spare, size_t count);
#endif
